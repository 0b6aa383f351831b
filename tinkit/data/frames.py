"""Frames of one clip: a video file or a folder of numbered images, opened, counted and read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from tinkit.data.config import Media
from tinkit.data.reader import BrokenClip, ClipReader, Frame, check_size, describe, window
from tinkit.errors import UserError

MAX_IMAGE_BYTES = 256 * 1024 * 1024
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")


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
        raise BrokenClip(describe(error)) from error
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
        numbers = find_numbers(folder, template)
        self._folder, self._template, self._first = folder, template, numbers.start + start
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


def find_numbers(folder: Path, template: str) -> range:
    """The numbers of the images in ``folder`` that are named by ``template``: without a gap, from 0 or 1.

    Raises :class:`BrokenClip` if there are none, or one is missing.
    """
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
    return range(numbers[0], numbers[-1] + 1)


def read_image(path: Path, *, grey: bool = False) -> Frame:
    """One image file as RGB, or as (H, W) grey levels; other kinds are converted. Raises :class:`BrokenClip`."""
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
            pixels: Frame = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
            return pixels[..., 0] if grey else pixels
    except ValueError:  # another format, or a JPEG with a fault that may be harmless
        pass
    return _read_with_pillow(data, "L" if grey else "RGB")


def _read_with_pillow(data: bytes, mode: str) -> Frame:
    """What simplejpeg refuses, or (CMYK) converts with other roundings than Pillow's."""
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            check_size(*image.size)
            return np.asarray(image.convert(mode))
    except BrokenClip:
        raise
    except Exception as error:
        raise BrokenClip(describe(error)) from error
