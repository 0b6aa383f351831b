"""A stream at a stated rate: tick k, at k / rate seconds, shows the last frame that had come by then.

Of a stream with a constant rate these are the frames that sampling by frame rate takes of a clip
(:mod:`tinkit.data.sampling.rates`). A slower stream shows a frame at several ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tinkit.data.stream.source import Shown

_JUMP = 10.0  # seconds from one frame to the next beyond which the clock was set anew, not the picture held
_LATE = 1e-3  # seconds that a frame may come late, since containers round its time, and a tenth of a tick at most


@dataclass(frozen=True)
class Moment:
    """A frame as it comes, ``seconds`` after the first.

    ``ticks`` are those that passed since the frame before came, and show that one. ``jumped``: how many seconds the
    stream's own clock leapt, back or ahead; this one goes on by a tick instead.
    """

    shown: Shown
    seconds: float
    ticks: int
    jumped: float = 0.0


class Clock:
    """Counts the ticks of a stream that is watched at ``rate`` frames a second. Raises ValueError for no such rate."""

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"a rate of {rate:g} frames a second")
        self.rate = rate
        self._late = min(_LATE, 0.1 / rate)
        self.passed = 0
        """Ticks so far; the first is at 0 seconds."""
        self._now = 0.0

    def moments(self, frames: Iterable[Shown]) -> Iterator[Moment]:
        """Each frame as it comes. What the last frame shows is in no moment: :meth:`rest` says how many ticks."""
        behind, first = 0.0, True
        for shown in frames:
            seconds, jumped = shown.seconds - behind, 0.0
            if not first and not 0 <= seconds - self._now <= _JUMP:
                jumped = seconds - self._now
                behind += jumped - 1 / self.rate
                seconds = self._now + 1 / self.rate
            ticks = 0 if first else self._count(seconds - self._late)
            first, self._now = False, seconds
            yield Moment(shown, seconds, ticks, jumped)

    def rest(self, lasts: float) -> int:
        """The ticks that show the last frame, once no other comes; it ``lasts`` so many seconds."""
        return self._count(self._now + max(lasts - self._late, self._late))

    def _count(self, before: float) -> int:
        """Count the ticks that lie before ``before`` seconds."""
        ticks = 0
        while (self.passed + ticks) / self.rate < before:
            ticks += 1
        self.passed += ticks
        return ticks
