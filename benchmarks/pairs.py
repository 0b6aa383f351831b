"""Two calls timed in pairs, and what the ratios of their times say.

What a shared machine does to a time it mostly does to the time beside it, too. So two calls take turns, who goes first
changes from pair to pair, each pair gives one ratio, and the ratios' median is what is told, with the interval that a
bootstrap of the pairs gives it.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Timer = Callable[[], float]  # does something once, gives the milliseconds that it took
_SETTLED = 64  # page faults of a round that are nobody's buffers


def cpu(call: Callable[[], object]) -> Timer:
    """Times ``call`` in milliseconds of this process's CPU time."""

    def timed() -> float:
        start = time.process_time()
        call()
        return 1000 * (time.process_time() - start)

    return timed


class Times(NamedTuple):
    """Milliseconds of both sides, pair by pair."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]


class Interval(NamedTuple):
    """A median and the ends of its 95% interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Bound:
    """What a ratio has to keep to: its median, or the upper end of the median's interval."""

    limit: float
    kind: Literal["at most", "upper end at most", "at least"] = "at most"

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"

    def held_by(self, ratio: Interval) -> bool:
        """Whether ``ratio`` keeps to it."""
        if self.kind == "at least":
            return ratio.median >= self.limit
        return (ratio.high if self.kind == "upper end at most" else ratio.median) <= self.limit


@dataclass(frozen=True)
class Row:
    """One line of a table: what ``what`` takes over what ``against`` takes.

    ``ms`` and ``against_ms`` are medians; where bytes are compared they are None and ``mib`` and ``against_mib`` are
    there. ``case`` may have two parts, ``"256x56; float32"``: the second names the column in a table for readers.
    """

    what: str
    case: str
    against: str
    pairs: int
    ratio: Interval
    bound: Bound | None = None
    ms: float | None = None
    against_ms: float | None = None
    mib: float | None = None
    against_mib: float | None = None


def timer(call: Callable[[], object]) -> Timer:
    """Times ``call``, and the release of what it gives."""

    def timed() -> float:
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)

    return timed


def paired(first: Timer, second: Timer, pairs: int) -> Times:
    """Time both in turns, once they have settled; every second pair begins with ``second``.

    An even number of pairs has as many of the one order as of the other, so that neither decides the median.
    """
    settle(first, second)
    sides, times = (first, second), np.empty((2, pairs))
    gc.collect()
    gc.disable()
    settle(first, second, most=1)  # the collection has been through the processor's caches
    try:
        for pair in range(pairs):
            for side in (0, 1) if pair % 2 == 0 else (1, 0):
                times[side, pair] = sides[side]()
    finally:
        gc.enable()
    return Times(times[0], times[1])


def settle(*timers: Timer, most: int = 16) -> None:
    """Run them in turns, at least twice, until they fault no more: buffers that are kept must have been made first.

    glibc aligns large buffers by cutting them out of larger ones. What is cut off lies in a cache for some rounds, and
    until then the next buffer of the size is a new one. At ``most`` so many rounds.
    """
    for index in range(most):
        before = _faults()
        for timed in timers:
            timed()
        if index > 0 and _faults() - before < _SETTLED:
            return


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def interval(ratios: NDArray[np.float64]) -> Interval:
    """The median of ``ratios`` and its 95% interval, by 4000 draws of as many with replacement; the same every time."""
    drawn = np.random.default_rng(0).choice(ratios, (4000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Interval(float(np.median(ratios)), float(low), float(high))


def timed_row(what: str, case: str, against: str, times: Times, bound: Bound | None = None) -> Row:
    """The row of two calls that were timed in pairs."""
    ms, against_ms = (float(np.median(side)) for side in times)
    ratio = interval(times.first / times.second)
    return Row(what, case, against, len(times.first), ratio, bound, ms=ms, against_ms=against_ms)


def bytes_row(what: str, case: str, against: str, counts: tuple[int, int], bound: Bound | None = None) -> Row:
    """The row of two counts of bytes, which have no interval."""
    ratio = counts[0] / counts[1]
    mib, against_mib = (count / 2**20 for count in counts)
    return Row(what, case, against, 1, Interval(ratio, ratio, ratio), bound, mib=mib, against_mib=against_mib)
