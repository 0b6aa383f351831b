"""Frames of one clip: a video file or a folder of numbered images, opened, counted and read.

Whatever is wrong with a clip ends in :class:`BrokenClip` with a reason, so that the data sets can record it
and count it. Frames are 8-bit RGB, numbered from 0 in the order they are shown.
"""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tinkit.errors import UserError

Frame = NDArray[np.uint8]
"""One frame: uint8 (H, W, 3), RGB."""

Media = Literal["video", "frames"]

MAX_PIXELS = 64 * 1024 * 1024
"""Frames of more pixels than this are refused: a small file can claim any size."""

MAX_IMAGE_BYTES = 256 * 1024 * 1024
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")


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
            raise BrokenClip(_describe(error)) from error

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


def open_clip(
    path: Path, media: Media, frame_template: str | None = None, start: int = 0, frames: int | None = None
) -> ClipReader:
    """Open the clip at ``path``: a video file, or a folder of images named by ``frame_template`` (``{:05d}.jpg``).

    ``start`` and ``frames`` cut a window out of it (mmaction2's lists with an offset): frame 0 is the ``start``-th
    found, and at most ``frames`` are counted. Fewer found than announced is no fault: the count is what is there.
    Raises :class:`BrokenClip` if nothing can be read, :class:`~tinkit.errors.UserError` for an impossible template.
    """
    reader: ClipReader
    try:
        if media == "frames":
            reader = _ImageFolder(path, frame_template or "{:05d}.jpg", start, frames)
        else:
            from tinkit.data.video import VideoReader  # libav is loaded only by those who read videos

            reader = VideoReader(path, start, frames)
    except (BrokenClip, UserError):
        raise
    except Exception as error:
        raise BrokenClip(_describe(error)) from error
    return reader


def template_pattern(template: str) -> re.Pattern[str]:
    """A regular expression whose group 1 is the number in a file name made by ``template``.

    Raises :class:`~tinkit.errors.UserError` unless ``template`` is a plain file name with one number field.
    """
    match = re.fullmatch(r"([^{}/\\]*)\{[^{}]*\}([^{}/\\]*)", template)
    if match is None:
        raise UserError(
            f"frame_template {template!r} does not name image files",
            expected="a file name with one number field, such as {:05d}.jpg or image_{:05d}.jpg",
        )
    return re.compile(re.escape(match[1]) + r"(\d+)" + re.escape(match[2]))


class _ImageFolder(ClipReader):
    """A folder of images, one a frame, numbered without a gap from 0 or 1."""

    def __init__(self, folder: Path, template: str, start: int, frames: int | None) -> None:
        pattern = template_pattern(template)
        if not folder.is_dir():
            raise BrokenClip("no such folder")
        names = (pattern.fullmatch(entry.name) for entry in folder.iterdir())
        numbers = sorted(int(name[1]) for name in names if name and template.format(int(name[1])) == name[0])
        if not numbers:
            raise BrokenClip(f"no image is named like {template}")
        if numbers[0] > 1 or numbers[-1] - numbers[0] + 1 != len(numbers):
            missing = next(n for n, found in enumerate(numbers, min(numbers[0], 1)) if n != found)
            raise BrokenClip(f"frame {template.format(missing)} is missing")
        self._folder, self._template, self._first = folder, template, numbers[0] + start
        self.num_frames = window(len(numbers), start, frames)

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        for index in wanted:
            name = self._template.format(self._first + index)
            try:
                yield index, read_image(self._folder / name)
            except BrokenClip as error:
                raise BrokenClip(f"{name}: {error.reason}") from error

    def close(self) -> None:
        """Nothing stays open."""


def window(found: int, start: int, frames: int | None) -> int:
    """How many of ``found`` frames lie in the window that begins at ``start`` and holds at most ``frames``."""
    left = found - start
    if left <= 0:
        raise BrokenClip(f"{found} frames found, the clip should start at frame {start}")
    return left if frames is None else max(0, min(left, frames))


def read_image(path: Path) -> Frame:
    """One image file as RGB; grey, CMYK and palette images are converted. Raises :class:`BrokenClip`."""
    if not path.is_file():
        raise BrokenClip("no such file")
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise BrokenClip(f"larger than {MAX_IMAGE_BYTES >> 20} MiB")
    data = path.read_bytes()
    if not data:
        raise BrokenClip("the file is empty")
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        check_size(width, height)
        if colours in ("RGB", "YCbCr", "Gray"):
            return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError:  # another format, or a JPEG with a fault that may be harmless
        pass
    return _read_with_pillow(data)


def _read_with_pillow(data: bytes) -> Frame:
    """What simplejpeg refuses, or (CMYK) converts with other roundings than Pillow's."""
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            check_size(*image.size)
            return np.asarray(image.convert("RGB"))
    except BrokenClip:
        raise
    except Exception as error:
        raise BrokenClip(_describe(error)) from error


def check_size(width: int, height: int) -> None:
    """Raise :class:`BrokenClip` for a frame without pixels or of more than ``MAX_PIXELS``."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise BrokenClip(f"frames of {width}x{height} pixels")


def _describe(error: Exception) -> str:
    """A reason of one line."""
    text = str(getattr(error, "strerror", None) or error).splitlines()
    return f"{text[0][:200]} ({type(error).__name__})" if text else type(error).__name__
