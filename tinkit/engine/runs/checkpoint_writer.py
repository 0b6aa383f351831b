"""The checkpoints of a run under way: written by one background thread, linked to their names, the old ones removed.

Each is a file of its own step, ``checkpoints/step-00001234.safetensors``; ``last`` and ``best`` are further names (hard
links) of such a file, so a checkpoint that is two things is on the disk once. ``best-ema`` is a file of its own, of
averaged weights alone, so that a copy of it cannot be taken for anything else.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType

from tinkit.engine.runs.checkpoint import Snapshot, averaged_only, write_snapshot
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import why_unusable
from tinkit.files.atomic import atomic_path
from tinkit.recipe.training import SaveConfig


class Keeper:
    """Writes a run's checkpoints while training continues. As a context it waits for the last one.

    Whenever the process is killed, the checkpoint before is whole: a file gets its name when it is on the disk, and an
    older one goes when the names have moved. Of a run's processes only one may call :meth:`save`.
    """

    def __init__(self, run: Run, save: SaveConfig) -> None:
        self._run, self._keep = run, save.keep
        self.saved_at = time.monotonic()
        """When the newest save began, by the monotonic clock; before the first, when this was made."""
        self._first = True
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future[None] | None = None

    def save(self, snapshot: Snapshot, step: int, also: Sequence[str] = ()) -> None:
        """Begin to write the checkpoint of ``step`` (counted over the run) and return; a write under way is waited for.

        When it is complete it is linked as ``last`` and what ``also`` names (``best``, ``best-ema``). Of the files of
        steps the newest ``save.keep`` stay; those of later steps, left by a run that has gone back since, are removed.
        Raises what the write before this one raised.
        """
        self.wait()
        self.saved_at = time.monotonic()
        self._writing = self._thread.submit(self._write, snapshot, step, (*also, "last"))

    def set_aside(self, step: int) -> None:
        """Keep the checkpoint of ``step`` as ``not-finite-STEP``, and make the one before it ``last``.

        Nothing changes where it is the first.
        """
        self.wait()
        earlier = [path for number, path in self._run.step_paths().items() if number < step]
        before = next((path for path in [*reversed(earlier), self._run.checkpoint("best")] if path.is_file()), None)
        path = self._run.step_path(step)
        if before is not None and path.is_file():
            _name(before, self._run.checkpoint("last"))
            path.replace(path.with_name(f"not-finite-{step:08d}.safetensors"))

    def wait(self) -> None:
        """Wait until nothing is being written. Raises what the write raised (OSError for a full disk), once."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def settle(self, seconds: float) -> None:
        """Wait at most ``seconds`` until nothing is being written, and ignore how it ended; from any thread."""
        if (writing := self._writing) is not None:
            wait([writing], seconds)

    def close(self) -> None:
        """Wait as :meth:`wait` does, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, snapshot: Snapshot, step: int, names: Sequence[str]) -> None:
        if self._first:  # and not before: of several processes only the one that saves may do this
            self._first = False
            for leftover in self._run.checkpoints.glob(".*.tmp.safetensors"):
                if not leftover.name.startswith(".mean="):  # which a test may be writing
                    leftover.unlink(missing_ok=True)  # left by a process that was killed while it wrote
        path = self._run.step_path(step)
        write_snapshot(snapshot, path)
        # ``last`` comes last: what it says of the best value is never ahead of ``best``
        for name in names:
            if name == "best-ema":
                write_snapshot(averaged_only(snapshot), self._run.checkpoint(name))
            else:
                _name(path, self._run.checkpoint(name))
        steps = self._run.step_paths()
        kept = sorted(number for number in steps if number <= step)[-self._keep :]
        for number, old in steps.items():
            if number not in kept:
                old.unlink(missing_ok=True)


def newest_good(run: Run) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The checkpoint to resume from, and those that were passed over, each with what is wrong with it.

    ``last`` is tried first, then the files of steps from the newest, then ``best``: the first that is whole, and holds
    finite numbers alone. None if no checkpoint is good; if none was passed over either, the run has saved nothing yet.
    """
    passed: list[tuple[Path, str]] = []
    steps = [path for _, path in sorted(run.step_paths().items(), reverse=True)]
    for path in (run.checkpoint("last"), *steps, run.checkpoint("best")):
        if not path.is_file() or any(path.samefile(other) for other, _ in passed):
            continue
        if (reason := why_unusable(path)) is None:
            return path, passed
        passed.append((path, reason))
    return None, passed


def _name(source: Path, target: Path) -> None:
    """Give ``source`` the further name ``target``, or a copy where the file system has no hard links."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
