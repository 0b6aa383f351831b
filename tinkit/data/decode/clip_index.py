"""Where a clip's frames are, counted before: what lets a reader open it without listing or demuxing all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClipIndex:
    """The ``frames`` of a file, or folder of images, that has not changed since they were counted.

    ``first`` is the number of a folder's first image. ``times`` are the presentation times of a video's first and last
    frame if all its frames lie evenly between them (see :class:`EvenTimes`), else None. Its groups of pictures begin
    at the frames ``keyframes``, with the packets ``packets``.
    """

    frames: int
    first: int = 0
    times: tuple[int, int] | None = None
    keyframes: tuple[int, ...] = ()
    packets: tuple[int, ...] = ()


class EvenTimes:
    """The number of a frame by its presentation time, where ``frames`` lie evenly, to the nearest unit of time."""

    def __init__(self, frames: int, first: int, last: int) -> None:
        self._frames, self._first, self._span = frames, first, max(1, last - first)

    def get(self, time: int | None) -> int | None:
        """The number of the frame that is shown at ``time``; None outside of the video."""
        if time is None:
            return None
        number = (2 * (time - self._first) * (self._frames - 1) + self._span) // (2 * self._span)
        return number if 0 <= number < self._frames else None

    def time(self, number: int) -> int:
        """A time at which the frame ``number`` is shown, and none after it."""
        return self._first + (2 * number + 1) * self._span // (2 * max(1, self._frames - 1))


def even_times(shown: Sequence[int | None], all_times: Iterable[int | None]) -> tuple[int, int] | None:
    """The first and last of the presentation times ``shown`` if they number the frames; None if they do not.

    ``shown`` are in order; ``all_times`` are those of every packet, of which the others must number no frame.
    """
    first, last = (shown[0], shown[-1]) if shown else (None, None)
    if first is None or last is None:
        return None
    times = EvenTimes(len(shown), first, last)
    if any(times.get(time) != number for number, time in enumerate(shown)):
        return None
    visible = set(shown)
    return None if any(times.get(time) is not None for time in all_times if time not in visible) else (first, last)
