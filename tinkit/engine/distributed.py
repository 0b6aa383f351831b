"""The processes of one training or test, as torchrun starts them; without torchrun, a world of one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from tinkit.errors import SaidElsewhere, UserError

T = TypeVar("T")

_PATIENCE = timedelta(minutes=30)  # for the slowest process; one that dies is noticed at once


class LostPeerError(UserError):
    """Another process of the same training has ended, so that this one cannot go on either."""


@dataclass(frozen=True)
class World:
    """This process among ``size`` of them. Every method but the properties must be called by all, in the same order.

    ``group`` is a gloo group for numbers and objects of the CPU: agreeing on something never waits for a GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    group: dist.ProcessGroup | None = None

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def total(self, *values: float) -> tuple[float, ...]:
        """The sums of the values over all processes."""
        if self.group is None:
            return values
        sums = torch.tensor(values, dtype=torch.float64)
        with _peers():
            dist.all_reduce(sums, group=self.group)
        return tuple(sums.tolist())

    def first(self, action: Callable[[], T]) -> T:
        """What ``action`` gives, after the main process has done it: what it builds or finds wrong is met once."""
        if self.group is None:
            return action()
        if not self.main:
            if not self.share(None):
                raise SaidElsewhere("the main process has failed")
            return action()
        try:
            result = action()
        except BaseException:
            self.share(False)
            raise
        self.share(True)
        return result

    def gather(self, value: Any) -> list[Any] | None:
        """Every process' value in the order of ranks, on the main process; None on the others."""
        if self.group is None:
            return [value]
        values: list[Any] | None = [None] * self.size if self.main else None
        with _peers():
            dist.gather_object(value, values, dst=0, group=self.group)
        return values

    def share(self, value: Any) -> Any:
        """The main process' value, on all of them."""
        if self.group is None:
            return value
        box = [value]
        with _peers():
            dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]


@contextmanager
def join_world() -> Iterator[World]:
    """Join the processes that torchrun started, by its environment variables; leave them in an order that never hangs.

    NCCL where there are GPUs (one a process), gloo otherwise. An error leaves at once: the others notice.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    with _peers():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
        group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    yield World(rank, size, local_rank, group)
    # Models wrapped for this world must be gone before it is taken down, or the process may abort at its exit.
    gc.collect()
    with _peers():
        dist.barrier(group=group)
    dist.destroy_process_group()


@contextmanager
def _peers() -> Iterator[None]:
    """A lost connection as an error that says what happened."""
    try:
        yield
    except RuntimeError as error:
        raise lost_peer(error) or error from error


def lost_peer(error: RuntimeError) -> LostPeerError | None:
    """What to say if ``error`` is that of a broken connection to another process; None if it is another error."""
    text = str(error)
    if not isinstance(error, dist.DistError) and "gloo" not in text.lower() and "NCCL" not in text:
        return None
    return LostPeerError(
        f"another process of this run has ended ({text.splitlines()[0][:160]})",
        fix="its own message says why; then go on from the last checkpoint with --resume",
    )
