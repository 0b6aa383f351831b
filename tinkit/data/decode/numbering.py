"""The numbers of a video's frames, by the presentation times of its packets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Rank(Protocol):
    """Numbers frames by their presentation times."""

    def get(self, time: int | None, /) -> int | None:
        """The number of the frame shown at ``time``; None where there is none."""


@dataclass(frozen=True)
class Numbering:
    """Frames numbered from 0 in the order in which they are shown.

    ``rank`` has the number of each presentation time, and ``shown`` is the count of frames that the packets hold, of
    which ``rank`` may lack the last ones. The group of pictures i begins at frame ``starts[i]`` and at the packet
    ``keys[i]``, a keyframe.
    """

    rank: dict[int | None, int]
    starts: list[int]
    keys: list[int]
    shown: int


def number_by_time(
    times: list[int | None], keys: list[int], visible: list[int | None], until: int | None
) -> Numbering | None:
    """Number frames by ``times``, one a packet, where ``keys`` are keyframes and ``visible`` the times that are shown.

    ``until`` is the last decoding time of a file whose end is missing: of the frames that are shown later, a missing
    one may come first, so they have no number. None if the times do not tell the order: one is unknown, or comes twice.
    """
    first = times[keys[0]]
    known = sorted(time for time in visible if time is not None)
    if first is None or len(set(known)) < len(visible):
        return None
    # A stream cut out of another may begin inside a group of pictures: what refers to frames before the first
    # keyframe cannot be decoded and is not shown.
    order = known[bisect_left(known, first) :]
    shown = len(order)
    if until is not None:
        order = order[: bisect_right(order, until)]
    starts, begun = [0], [keys[0]]
    for key in keys[1:]:
        time = times[key]
        if (start := 0 if time is None else bisect_left(order, time)) > starts[-1]:
            starts.append(start)
            begun.append(key)
    return Numbering({time: index for index, time in enumerate(order)}, starts, begun, shown)


class Needed:
    """Which frames are still to be fed to a decoder of those that are ``wanted``, from ``begin`` up to ``end``."""

    def __init__(self, rank: Rank, wanted: Sequence[int], begin: int, end: int | None = None) -> None:
        self._rank = rank
        self._wanted = {index for index in wanted if index >= begin and (end is None or index < end)}
        self.left = set(self._wanted)

    def skips(self, time: int | None) -> bool:
        """Whether the frame of the next packet, shown at ``time``, may be left out if no other frame needs it."""
        number = self._rank.get(time)
        if number is None:
            return time is not None
        self.left.discard(number)
        return number not in self._wanted
