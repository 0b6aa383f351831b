"""Kills a training from outside at a chosen moment, which it knows nothing of, and says what it was doing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, Protocol

from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import read_tensor_header

Moment = Literal["step", "write", "validation", "row", "events", "start"]
"""``start``: the training has not begun, or not begun again. ``events``: it has just begun to write events.

``write``: a checkpoint is written in part, or renamed. ``validation``: the epoch is trained, and being validated.
``row``: the epoch is in ``metrics.csv``, and not in a checkpoint. ``step``: any other time.
"""
_POLL = 0.0005  # seconds
_LONGEST: dict[Moment, float] = {"step": 0.5, "validation": 0.2, "start": 0.02}
"""Seconds that are waited at most when the moment has come, so that all of it is hit, not only its beginning."""


class Process(Protocol):
    """A training that runs, as ``subprocess.Popen`` has it."""

    def poll(self) -> int | None:
        """The exit status; None while it runs."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def wait(self) -> int:
        """Wait for its end; the exit status."""


@dataclass(frozen=True)
class Kill:
    """What a killed training has left."""

    aimed: Moment
    hit: Moment
    """What it was doing, as its files tell."""
    step: int
    """Steps of the run in the newest checkpoint."""
    partial_bytes: int | None
    """How much of a checkpoint's temporary file was there, if it was writing one."""


def kill_at(aimed: Moment, process: Process, run: Run, target: int, random: Random) -> Kill | None:
    """Kill ``process`` at the first such moment after ``target`` steps of the run; None if it ended before that.

    It may be missed by a little: the result says what was hit.
    """
    watch = _Watch(run)
    reached: dict[Moment, Callable[[], bool]] = {
        "start": run.recipe_path.is_file,
        "events": watch.has_begun,
        "step": lambda: watch.has_begun() and watch.steps() >= target,
        "write": lambda: watch.steps() >= target and bool(watch.new_temporaries()),
        "validation": lambda: watch.steps() >= target and watch.is_validating(),
        "row": lambda: watch.steps() >= target and watch.row_is_ahead(),
    }
    while not reached[aimed]():
        if process.poll() is not None:
            return None
        time.sleep(_POLL)
    time.sleep(random.uniform(0, _LONGEST.get(aimed, 0)))
    process.kill()
    return watch.verdict(aimed) if process.wait() < 0 else None


class _Watch:
    """What can be seen from outside of a process that goes on with a run; make it before that has begun."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._temporaries, self._events, self._table = self._partial(), self._event_files(), self._table_state()
        self._last: tuple[int, int, int] = (-1, 0, 0)
        self._seen = (0, 0)  # inode and time of the checkpoint that this was read from

    def steps(self) -> int:
        """Steps of the run in ``last``; -1 without one."""
        return self._read()[0]

    def is_validating(self) -> bool:
        """Whether the epoch under way in ``last`` is trained to its end, and its row not written."""
        done, epoch, steps_per_epoch = self._read()
        return self.has_begun() and done == (epoch + 1) * steps_per_epoch and not self.row_is_ahead()

    def row_is_ahead(self) -> bool:
        """Whether the process has written a row to ``metrics.csv`` that ``last`` does not know of."""
        if self._table_state() == self._table:
            return False
        return len(self._run.metrics_path.read_text().splitlines()) - 1 > self._read()[1]

    def new_temporaries(self) -> set[Path]:
        """Temporary files of checkpoints that were not there at first."""
        return self._partial() - self._temporaries

    def has_begun(self) -> bool:
        """Whether the process has begun another file of events, as it does right before it trains."""
        return bool(self._event_files() - self._events)

    def verdict(self, aimed: Moment) -> Kill:
        """What the process, which has ended, was doing."""
        partial = sorted(path.stat().st_size for path in self.new_temporaries())
        hit: Moment = "events" if aimed == "events" else "step"
        if partial:
            hit = "write"
        elif not self.has_begun():
            hit = "start"
        elif self.row_is_ahead():
            hit = "row"
        elif self.is_validating():
            hit = "validation"
        return Kill(aimed, hit, max(0, self.steps()), partial[0] if partial else None)

    def _read(self) -> tuple[int, int, int]:
        """Of ``last``: steps done in the run, whole epochs, steps an epoch."""
        path = self._run.checkpoint("last")
        if not path.is_file():
            return self._last
        status = path.stat()
        if (seen := (status.st_ino, status.st_mtime_ns)) != self._seen:
            header = read_tensor_header(path)
            progress, info = header["progress"], header["info"]
            steps_per_epoch = info["clips"]["count"] // info["recipe"]["optim"]["batch"]
            done = progress["epoch"] * steps_per_epoch + progress["step"]
            self._last, self._seen = (done, progress["epoch"], steps_per_epoch), seen
        return self._last

    def _table_state(self) -> tuple[int, int]:
        path = self._run.metrics_path
        return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else (0, 0)

    def _partial(self) -> set[Path]:
        return set(self._run.checkpoints.glob(".*.tmp.*"))

    def _event_files(self) -> set[Path]:
        return set(self._run.events.glob("*"))
