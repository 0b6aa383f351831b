"""What every reader of a clip's frames gives: frames by number, or :class:`BrokenClip` with a reason.

Whatever is wrong with a clip ends in that one exception, so that the data sets can record it and count it. Frames are
8-bit RGB, or 8-bit optical flow, numbered from 0 in the order they are shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""One frame: uint8 (H, W, 3), RGB; or (H, W, 2), optical flow in x and y, where 0..255 are -bound..bound pixels."""

MAX_PIXELS = 64 * 1024 * 1024
"""Frames of more pixels than this are refused: a small file can claim any size."""


class BrokenClip(Exception):  # noqa: N818 - an event that is recorded, not a fault of the program
    """A clip that cannot be read. ``reason`` says why in a few words, without the clip's name."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ClipReader(ABC):
    """An open clip: a context manager with ``num_frames`` frames as found, never as announced."""

    num_frames: int

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Each distinct frame of ``indices``, in ascending order, as ``(index, frame)``; one is in memory at a time.

        Raises ``IndexError`` for an index outside ``0 .. num_frames - 1``, :class:`BrokenClip` for what cannot be
        decoded.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise IndexError(f"frames {wanted[0]}..{wanted[-1]} of a clip of {self.num_frames}")
        try:
            yield from self._decode(wanted)
        except (BrokenClip, GeneratorExit):
            raise
        except Exception as error:  # libav, Pillow and the file system raise some twenty kinds
            raise BrokenClip(describe(error)) from error

    def read(self, indices: Sequence[int]) -> list[Frame]:
        """The frames of ``indices``, in that order; an index may occur several times (the array is shared then)."""
        frames = dict(self.frames(indices))
        return [frames[int(index)] for index in indices]

    @abstractmethod
    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        """The frames of ``wanted``, ascending and distinct."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def window(found: int, start: int, frames: int | None) -> int:
    """How many of ``found`` frames lie in the window that begins at ``start`` and holds at most ``frames``."""
    left = found - start
    if left <= 0:
        raise BrokenClip(f"{found} frames found, the clip should start at frame {start}")
    return left if frames is None else max(0, min(left, frames))


def check_size(width: int, height: int) -> None:
    """Raise :class:`BrokenClip` for a frame without pixels or of more than ``MAX_PIXELS``."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise BrokenClip(f"frames of {width}x{height} pixels")


def describe(error: Exception) -> str:
    """What an exception says, as a reason of one line."""
    text = str(getattr(error, "strerror", None) or error).splitlines()
    return f"{text[0][:200]} ({type(error).__name__})" if text else type(error).__name__
