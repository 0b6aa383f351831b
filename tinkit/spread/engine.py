"""What a command's clips are worked on by, as its options say: processes here or a cluster, and which share of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tinkit.errors import UsageError
from tinkit.spread import PATIENCE
from tinkit.spread.cluster import dask_cluster
from tinkit.spread.processes import processes
from tinkit.spread.spread import Result, Spread, Task
from tinkit.workers.cores import usable_cores


@dataclass(frozen=True)
class Engine:
    """``workers`` processes of this machine (None: one a core; 0: this one), or the dask cluster at ``dask``.

    The cluster may be without a worker for ``patience`` seconds.
    """

    workers: int | None = None
    dask: str | None = None
    patience: float = PATIENCE

    def spread(
        self, function: Callable[[tuple[Task, ...]], list[Result]], lost: Callable[[Task], Result]
    ) -> Spread[Task, Result]:
        """``function`` over this engine; ``lost(task)`` is the result of a task that ends every process it is given."""
        workers = usable_cores() if self.workers is None else self.workers
        if self.dask is not None:
            make: Callable[[], Executor] = dask_cluster(self.dask, self.patience)
        else:
            make = processes(workers) if workers else partial(ThreadPoolExecutor, 1)
        return Spread(make, function, max(1, workers), lost)


@dataclass(frozen=True)
class Share:
    """Share ``part`` (from 1) of ``parts`` of the work: every ``parts``-th task."""

    part: int = 1
    parts: int = 1

    def of(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The tasks of this share."""
        return tasks[self.part - 1 :: self.parts]

    @property
    def whole(self) -> bool:
        """Whether it is all of the work."""
        return self.parts == 1


WHOLE = Share()


def parse_share(text: str | None) -> Share:
    """What ``--shard`` says: ``I/N``; all of the work where it is not given. Raises UsageError."""
    if text is None:
        return WHOLE
    parts = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
        raise UsageError(f"--shard {text} is not a part", expected="I/N with I from 1 to N, such as 3/16")
    return Share(int(parts[1]), int(parts[2]))
