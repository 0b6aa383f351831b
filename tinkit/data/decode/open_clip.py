"""Frames of one clip: a video file or a folder of numbered images, opened, counted and read."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tinkit.data.decode.clip_index import ClipIndex
from tinkit.data.decode.clip_reader import BrokenClip, Choice, ClipReader, Frame, NoFrames, ShowFiles, broken_on
from tinkit.data.decode.image_file import (
    TIMED_PIXELS,
    decode_image,
    decode_part,
    read_bytes,
    size_of_small_jpegs,
    with_size,
)
from tinkit.data.decode.settings import DecodeSettings, Spending
from tinkit.data.layouts.layout import Media
from tinkit.data.paths.image_names import template_pattern

_WHOLE = DecodeSettings()
_TOGETHER = 32 * 1024 * 1024  # bytes of files that are held at once
_FEW = 500  # images of a clip whose names are kept: some kB


def open_clip(
    path: Path,
    media: Media,
    frame_template: str | None = None,
    start: int = 0,
    frames: int | None = None,
    decoding: DecodeSettings = _WHOLE,
    index: ClipIndex | None = None,
) -> ClipReader:
    """Open the clip at ``path``: a video file, or a folder of images named by ``frame_template`` (``{:05d}.jpg``).

    ``start`` and ``frames`` cut a window out of it (mmaction2's lists with an offset): frame 0 is the ``start``-th
    found, and at most ``frames`` are counted. Finding fewer than announced is not a fault: the count is what was
    found, and the reader's notes say so. ``index`` is that of a clip that has not changed since, and spares the count.
    Raises :class:`BrokenClip` if nothing can be read, :class:`~tinkit.errors.UserError` for an impossible template.
    """
    if media == "frames":
        return ImageFolder(path, frame_template or "{:05d}.jpg", start, frames, decoding, index)
    # libav is loaded only by those who read videos
    from tinkit.data.decode.indexed_video import IndexedVideo
    from tinkit.data.decode.video import VideoReader

    if index is not None and index.times is not None:
        return IndexedVideo(path, index, start, frames, decoding)
    return VideoReader(path, start, frames, decoding)


class NoFolder(BrokenClip):
    """There is no folder where a clip's images should be."""


class ImageReader(ClipReader):
    """Reads image files, within the limits of ``decoding``."""

    def __init__(self, folder: Path, decoding: DecodeSettings) -> None:
        self.notes = set()
        self._folder, self._decoding, self._spending = folder, decoding, Spending(decoding)
        self._large = False  # images so large that asking for the time costs nothing in comparison

    def read_image(self, name: str, *, grey: bool = False) -> Frame:
        """The image called ``name`` in the clip's folder. Raises :class:`BrokenClip` that names it."""
        return self.decode_image(name, self.read_bytes(name), grey=grey)

    def read_bytes(self, name: str) -> bytes:
        """The file of the image called ``name``, not decoded. Raises :class:`BrokenClip` that names it."""
        try:
            return read_bytes(f"{self._folder}/{name}")
        except BrokenClip as error:
            raise BrokenClip(f"{name}: {error.reason}") from error

    def decode_image(self, name: str, data: bytes | memoryview, *, grey: bool = False) -> Frame:
        """The image whose file holds ``data``. Raises :class:`BrokenClip` that names it."""
        return self._counted(name, lambda: with_size(decode_image(data, self._decoding, grey=grey)))

    def decode_part(self, name: str, data: bytes | memoryview, choose: Choice) -> Frame:
        """Of the image whose file holds ``data`` what ``choose`` wants. Raises :class:`BrokenClip` that names it."""
        return self._counted(name, lambda: decode_part(data, self._decoding, choose))

    def show_files(self, indices: Sequence[int], show: ShowFiles) -> int:
        """As :meth:`~tinkit.data.decode.clip_reader.ClipReader.show_files` has it."""
        wanted = self._wanted(indices)
        with broken_on(self.errors):
            files = self._files_together(wanted)
        size = size_of_small_jpegs(files, self._decoding)
        if size is None:
            return 0
        shown = show(*size, files)
        self._spending.count(shown * size[0] * size[1])
        return shown

    def _files_together(self, wanted: list[int]) -> Sequence[bytes | memoryview]:
        """The files of the first of ``wanted``, one a frame: as many as may be held at once; none where a frame is no
        single file."""
        return ()

    def _counted(self, name: str, decode: Callable[[], tuple[Frame, tuple[int, int]]]) -> Frame:
        """What ``decode`` gives, besides the size of the whole image."""
        if self._large:
            self._spending.begin()
        try:
            frame, (width, height) = decode()
        except BrokenClip as error:
            raise BrokenClip(f"{name}: {error.reason}") from error
        pixels = width * height
        if self._large:
            self._spending.end()
        self._large = pixels > TIMED_PIXELS
        self._spending.count(pixels)
        return frame

    def close(self) -> None:
        """Nothing stays open."""


class ImageFolder(ImageReader):
    """A folder of images, one a frame, numbered without a gap from 0 or 1."""

    def __init__(
        self,
        folder: Path,
        template: str,
        start: int,
        frames: int | None,
        decoding: DecodeSettings,
        index: ClipIndex | None,
    ) -> None:
        super().__init__(folder, decoding)
        numbers = _listed(folder, template) if index is None else range(index.first, index.first + index.frames)
        self._template, self._numbers, self._start = template, numbers, start
        self.take_window(len(numbers), start, frames)

    def index(self) -> ClipIndex:
        """The numbers of the images."""
        return ClipIndex(len(self._numbers), first=self._numbers.start)

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        for index in wanted:
            yield index, self.read_image(self.name_of(index))

    def name_of(self, index: int) -> str:
        """How the image of frame ``index`` is called."""
        return self._template.format(self._numbers.start + self._start + index)

    def _files_together(self, wanted: list[int]) -> Sequence[bytes | memoryview]:
        """Up to the first that cannot be read: what is wrong with it is told when its turn comes."""
        files, held = list[bytes](), 0
        for index in wanted:
            try:
                data = read_bytes(f"{self._folder}/{self.name_of(index)}")
            except (BrokenClip, OSError):
                break
            held += len(data)
            if held > _TOGETHER:
                break
            files.append(data)
        return files

    def _decode_parts(self, wanted: list[int], choose: Choice) -> Iterator[tuple[int, Frame]]:
        for index in wanted:
            name = self.name_of(index)
            yield index, self.decode_part(name, self.read_bytes(name), choose)


def _listed(folder: Path, template: str) -> range:
    """The numbers of a clip's images. Raises :class:`BrokenClip` that says what there is in place of the folder."""
    try:
        return find_numbers(folder, template)
    except NoFolder as error:
        raise NoFolder(
            f"{error.reason}: {folder} (data.media = 'frames': a clip is a folder of images in data.media_folder)"
        ) from None


def find_numbers(folder: Path, template: str) -> range:
    """The numbers of the images in ``folder`` that are named by ``template``: without a gap, from 0 or 1.

    Raises :class:`BrokenClip` if there are none, or one is missing; :class:`NoFolder` where there is nothing to list.
    """
    pattern = template_pattern(template)
    with broken_on((OSError,)):  # a name that is too long, say
        try:
            entries = os.listdir(folder)  # noqa: PTH208 - a Path an image takes longer than all else that is done here
        except FileNotFoundError:
            raise NoFolder("no such folder") from None
        except NotADirectoryError:
            raise NoFolder("no such folder, but a file" if folder.exists() else "no such folder") from None
    first = 0 if template.format(0) in entries else 1
    if entries and _usual_names(template, first, len(entries)) == set(entries):  # nothing else, and nothing is missing
        return range(first, first + len(entries))
    names = map(pattern.fullmatch, entries)
    numbers = sorted(int(name[1]) for name in names if name and template.format(int(name[1])) == name[0])
    if not numbers:
        raise NoFrames(f"no image is named like {template}")
    if numbers[0] > 1 or numbers[-1] - numbers[0] + 1 != len(numbers):
        missing = next(n for n, found in enumerate(numbers, min(numbers[0], 1)) if n != found)
        raise BrokenClip(f"frame {template.format(missing)} is missing")
    return range(numbers[0], numbers[-1] + 1)


def _usual_names(template: str, first: int, count: int) -> frozenset[str]:
    """The names of ``count`` images from number ``first`` on; those of few are kept: many clips share them."""
    return (_few_names if count <= _FEW else _few_names.__wrapped__)(template, first, count)


@functools.lru_cache(64)
def _few_names(template: str, first: int, count: int) -> frozenset[str]:
    return frozenset(map(template.format, range(first, first + count)))
