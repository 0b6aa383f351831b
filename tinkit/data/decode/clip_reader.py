"""What every reader of a clip's frames gives: frames by number, or :class:`BrokenClip` with a reason.

Whatever is wrong with a clip ends in that one exception, so that the data sets can record it and count it; a fault of
the program, or a machine without memory or descriptors, does not. Frames are 8-bit RGB, or 8-bit optical flow, numbered
from 0 in the order they are shown.
"""

from __future__ import annotations

import errno
import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tinkit.data.decode.clip_index import ClipIndex

Frame = NDArray[np.uint8]
"""One frame: uint8 (H, W, 3), RGB; or (H, W, 2), optical flow in x and y, where 0..255 are -bound..bound pixels."""

Rectangle = tuple[int, int, int, int]
"""A part of a frame, in pixels: left, top, width, height."""

Choice = Callable[[int, int], Rectangle]
"""Which part of a frame of (width, height) is wanted; may raise :class:`BrokenClip` for a size that must not be."""

ShowFiles = Callable[[int, int, Sequence[bytes | memoryview]], int]
"""Shows frames of (width, height), given as JPEG files; how many, from the first on, could be shown so. May raise
:class:`BrokenClip` for a size that must not be."""

Note = Literal[
    "turned",
    "to be turned, but read as stored",
    "cut off",
    "scaled to the first size",
    "fewer frames than listed",
    "sound shorter than a window, repeated",
    "gaps in the sound",
]
"""What users should know about a clip that can be read."""

NO_SOUND = "no sound"
"""What the reason of a clip without sound begins with."""

_PROBE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class ClipFacts:
    """What a clip's file says beside its frames: ``rate`` frames a second and ``seconds`` long, 0 where unknown; the
    numbers of the frames that others are decoded from; whether there is sound."""

    rate: float = 0.0
    seconds: float = 0.0
    keyframes: tuple[int, ...] = ()
    sound: bool = False


class BrokenClip(Exception):  # noqa: N818 - an event that is recorded, not a fault of the program
    """A clip that cannot be read. ``reason`` says why in a few words, without the clip's name."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NoVideo(BrokenClip):
    """A file without a video stream."""


class NoSound(BrokenClip):
    """A file, or a part of one, without sound: a clip that is missing to those who listen, and no damaged one.

    ``where`` is part of the reason, which begins with ``NO_SOUND``.
    """

    def __init__(self, where: str = "") -> None:
        super().__init__(f"{NO_SOUND}{where}")


class NoFrames(BrokenClip):
    """A video, or a folder of images, without a frame."""


class ClipReader(ABC):
    """An open clip: a context manager with ``num_frames`` frames.

    They are those that were found, never those that a list or a container announces, but for a recording that was cut
    off, whose container still says how many there were: a frame that is missing then is found missing when it is read.
    ``notes`` fills as frames are read.
    """

    num_frames: int
    notes: set[Note]
    errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """What this reader's libraries raise for damaged data; all else is a fault of the program and goes through."""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Each distinct frame of ``indices``, in ascending order, as ``(index, frame)``; one is in memory at a time.

        Raises ``IndexError`` for an index outside ``0 .. num_frames - 1``, :class:`BrokenClip` for what cannot be
        decoded.
        """
        wanted = self._wanted(indices)
        with broken_on(self.errors):
            yield from self._decode(wanted)

    def parts(self, indices: Sequence[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        """As :meth:`frames`, but of each frame the part that ``choose`` wants, which may be all that is decoded of it.

        What is wrong with a file, but touches no pixel of the parts, may then not be found.
        """
        wanted = self._wanted(indices)
        with broken_on(self.errors):
            yield from self._decode_parts(wanted, choose)

    def show_files(self, indices: Sequence[int], show: ShowFiles) -> int:
        """Let ``show`` have the first of the distinct frames of ``indices``, ascending, as files, all at once.

        How many it has shown; :meth:`parts` gives the others, and says what is wrong with them. 0 where frames are no
        small JPEGs. Raises what :meth:`parts` does.
        """
        return 0

    def read(self, indices: Sequence[int]) -> list[Frame]:
        """The frames of ``indices``, in that order; an index may occur several times (the array is shared then)."""
        frames = dict(self.frames(indices))
        return [frames[int(index)] for index in indices]

    def take_window(self, found: int, start: int, frames: int | None) -> None:
        """Of ``found`` frames, count those in the window that begins at ``start`` and holds at most ``frames``."""
        self.num_frames = window_of(found, start, frames)
        if frames is not None and self.num_frames < frames:
            self.notes.add("fewer frames than listed")

    def facts(self) -> ClipFacts:
        """What the file says beside its frames; nothing for images."""
        return ClipFacts()

    def _wanted(self, indices: Sequence[int]) -> list[int]:
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise IndexError(f"frames {wanted[0]}..{wanted[-1]} of a clip of {self.num_frames}")
        return wanted

    def _decode_parts(self, wanted: list[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        """The parts of the frames of ``wanted``, ascending and distinct."""
        for index, frame in self._decode(wanted):
            yield index, cut_out(frame, choose(frame.shape[1], frame.shape[0]))

    def index(self) -> ClipIndex | None:
        """What opens the clip again without counting, while its file is unchanged; None where there is no such thing.

        It is of the whole file, whatever window of it is read.
        """
        return None

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


def cut_out(frame: Frame, part: Rectangle) -> Frame:
    """The pixels of a part, a view of ``frame``."""
    left, top, width, height = part
    return frame[top : top + height, left : left + width]


def window_of(found: int, start: int, frames: int | None) -> int:
    """How many of ``found`` frames are in the window that begins at ``start`` and holds at most ``frames``.

    Raises :class:`BrokenClip` where it begins behind the last.
    """
    left = found - start
    if left <= 0:
        raise BrokenClip(f"{found} frames found, the clip should start at frame {start}")
    return left if frames is None else max(0, min(left, frames))


@contextmanager
def broken_on(errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn ``errors`` into :class:`BrokenClip`, but for those that the machine, and not the clip, is the cause of."""
    try:
        yield
    except errors as error:
        if is_shortage(error):
            raise
        raise BrokenClip(describe(error)) from error


def is_shortage(error: Exception) -> bool:
    """Whether ``error`` says that descriptors or memory have run out: no fault of the clip that was being read.

    libav says the same of a file that asks for more memory than any file may: whether there is some tells them apart.
    """
    if isinstance(error, MemoryError):
        try:
            mmap.mmap(-1, _PROBE_BYTES).close()  # of the system, which gives a page when it is touched: none is
        except OSError:
            return True
        return type(error) is MemoryError
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def unusable_text(reasons: Collection[str]) -> str:
    """How many clips cannot be used, in words: ``2 clips cannot be decoded, 3 have no sound``."""
    silent = sum(reason.startswith(NO_SOUND) for reason in reasons)
    broken = len(reasons) - silent
    parts = [f"{broken} clips cannot be decoded"] * (broken > 0 or not silent)
    parts += [f"{silent} {'have' if parts else 'clips have'} {NO_SOUND}"] * (silent > 0)
    return ", ".join(parts)


def notes_text(notes: Mapping[str, int]) -> str:
    """How many clips have which note, in words: ``3 turned, 1 cut off``."""
    return ", ".join(f"{count} {note}" for note, count in sorted(notes.items()))


def describe(error: Exception) -> str:
    """What an exception says, as a reason of one line."""
    text = str(getattr(error, "strerror", None) or error).splitlines()
    return f"{text[0][:200]} ({type(error).__name__})" if text else type(error).__name__
