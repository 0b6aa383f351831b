"""The pace of an epoch: clips a second, and the share of the time that is spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from tinkit.data.clips.batch import Batch


class Clock:
    """Measures one epoch as far as this process trains it."""

    def __init__(self) -> None:
        self._started = self._stepped = time.monotonic()
        self._clips = 0
        self._waited = self._waited_all = 0.0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """``batches``, while the time that each lets one wait is taken."""
        iterator = iter(batches)
        while True:
            begun = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waited = time.monotonic() - begun
            self._waited_all += self._waited
            yield batch

    def step(self, clips: int) -> tuple[float, float]:
        """A step of so many clips has ended: its clips a second, and the share of its time that waited for data."""
        before, self._stepped = self._stepped, time.monotonic()
        self._clips += clips
        seconds = max(self._stepped - before, 1e-9)
        return clips / seconds, min(1.0, self._waited / seconds)

    @property
    def clips_per_s(self) -> float:
        """The mean since the start."""
        return self._clips / max(time.monotonic() - self._started, 1e-9)

    @property
    def waiting(self) -> float:
        """The share of the time since the start that waited for data."""
        return self._waited_all / max(time.monotonic() - self._started, 1e-9)
