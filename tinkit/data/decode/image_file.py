"""One image file as 8-bit RGB or grey levels. What it may cost is asked of its header before it is decoded.

Levels of 16 bits become ``round(v / 257)``, so that 65535 is 255; floating-point levels, whose range is unknown, are
refused. Alpha is dropped. The orientation that a camera notes in a JPEG's EXIF data is not applied: pixels are read as
they are stored, and the images of no published set have one.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tinkit.data.decode import jpeg
from tinkit.data.decode.clip_reader import BrokenClip, Choice, Frame, cut_out, describe, is_shortage
from tinkit.data.decode.jpeg_part import part_of_jpeg
from tinkit.data.decode.settings import DecodeSettings

MAX_IMAGE_BYTES = 256 * 1024 * 1024
TIMED_PIXELS = 150_000
"""Images of more pixels take so long that asking for the time costs nothing in comparison."""

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is seen to be one, and not waited for
_JPEG = b"\xff\xd8"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")

# What Pillow raises for damaged or unknown data.
DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
)

_STRIP_PIXELS = 1 << 20  # a larger image is converted in strips, so that it is not held three times
_RUN_SECONDS = 1e-6  # a byte of a file that Pillow decodes in Python
_OWN_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # a pixel, in Pillow; 4 in every other mode
_MORE_BYTES = {"WEBP": 12, "BMP": 4, "PPM": 4, "TIFF": 4}  # a pixel, for buffers of these formats' decoders
_TILE_WIDTH, _TILE_LENGTH, _BITS, _PHOTOMETRIC, _SAMPLES = 322, 323, 258, 262, 277  # tags of TIFF


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an image file. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`."""
    try:
        file = os.open(path, _READ)  # less work than an object that reads it
    except (FileNotFoundError, NotADirectoryError):
        raise BrokenClip("no such file") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise BrokenClip("no such file")
        if status.st_size > MAX_IMAGE_BYTES:
            raise BrokenClip(f"larger than {MAX_IMAGE_BYTES >> 20} MiB")
        data = os.read(file, status.st_size)
        while len(data) < status.st_size and (more := os.read(file, status.st_size - len(data))):
            data += more
    finally:
        os.close(file)
    return data


def decode_image(data: bytes | memoryview, decoding: DecodeSettings, *, grey: bool = False) -> Frame:
    """An image file's bytes as RGB (H, W, 3), or as (H, W) grey levels; other kinds are converted.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`.
    """
    if not data:
        raise BrokenClip("the file is empty")
    pixels = _read_jpeg(data, decoding, grey=grey) if is_jpeg(data) else None
    return _read_with_pillow(data, "L" if grey else "RGB", decoding) if pixels is None else pixels


def decode_part(data: bytes | memoryview, decoding: DecodeSettings, choose: Choice) -> tuple[Frame, tuple[int, int]]:
    """The part of an image that ``choose`` wants, as RGB, and the (width, height) of the whole.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`.
    """
    size = _jpeg_size(data, decoding) if is_jpeg(data) else None
    if size is not None:
        part = choose(*size)
        pixels = part_of_jpeg(data, *size, part)
        if pixels is not None:
            return pixels, size
    whole, size = with_size(decode_image(data, decoding))
    return cut_out(whole, choose(*size)), size


def size_of_small_jpegs(files: Sequence[bytes | memoryview], decoding: DecodeSettings) -> tuple[int, int] | None:
    """Width and height of JPEGs that may be decoded in one go, whose sizes are that of the first, and each of one scan.

    None if the first is no such thing, is so large that time is asked for beside it, or costs more than a look at the
    file's length can tell. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a size that must not be.
    """
    size = _jpeg_size(files[0], decoding) if files and is_jpeg(files[0]) else None
    if size is None or size[0] * size[1] > TIMED_PIXELS:
        return None
    return size if jpeg.is_cheap(max(map(len, files)), *size, decoding) else None


def is_jpeg(data: bytes | memoryview) -> bool:
    """Whether the bytes of an image file begin as a JPEG's do."""
    return data[:2] == _JPEG


def with_size(image: Frame) -> tuple[Frame, tuple[int, int]]:
    """An image and its (width, height)."""
    return image, (image.shape[1], image.shape[0])


def _read_jpeg(data: bytes | memoryview, decoding: DecodeSettings, *, grey: bool) -> Frame | None:
    """The pixels of a JPEG; None for one of other colours, or with a fault that may be harmless."""
    if _jpeg_size(data, decoding) is None:
        return None
    try:
        pixels: Frame = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
    except ValueError:
        return None
    return pixels[..., 0] if grey else pixels


def _jpeg_size(data: bytes | memoryview, decoding: DecodeSettings) -> tuple[int, int] | None:
    """Width and height of a JPEG that may be decoded; None for one of other colours, or with a faulty header."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    decoding.check_pixels(width, height)
    jpeg.check_cost(data, width, height, decoding)
    return (width, height) if colours in ("RGB", "YCbCr", "Gray") else None


def _read_with_pillow(data: bytes | memoryview, mode: str, decoding: DecodeSettings) -> Frame:
    """What simplejpeg refuses, or (CMYK) converts with other roundings than Pillow's."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_cost(image, data, decoding)
            if image.mode == "F":
                raise BrokenClip("floating-point levels, whose range is unknown; convert them to 8 or 16 bits")
            if image.mode.startswith("I"):
                return _as_mode(_scaled(image), mode)
            if (raw := _wide_mode(image)) is not None:
                return _as_mode(_narrowed(image, data, raw), mode)
            return _as_mode(image, mode)
    except Image.DecompressionBombError as error:  # far beyond our limit, unless the user has raised that
        raise BrokenClip(f"{error} (data.max_pixels = {decoding.max_pixels:,})") from error
    except DECODER_ERRORS as error:
        if is_shortage(error):
            raise
        raise BrokenClip(describe(error)) from error


def _check_cost(image: ImageFile.ImageFile, data: bytes | memoryview, decoding: DecodeSettings) -> None:
    """Refuse what would take too much memory or time, before anything is decoded."""
    width, height = image.size
    decoding.check_pixels(width, height)
    kind = image.format or ""
    own = _OWN_BYTES.get(image.mode, 4)
    wide = _wide_mode(image) is not None or image.mode.startswith("I")
    decoding.check_memory(width, height, own + 3 + _MORE_BYTES.get(kind, 3 * wide))
    if kind == "JPEG":
        jpeg.check_cost(data, width, height, decoding)
    tags: Any = getattr(image, "tag_v2", {})
    tile_width, tile_length = _number(tags, _TILE_WIDTH), _number(tags, _TILE_LENGTH)
    if tile_width and tile_length:
        samples, bits = _number(tags, _SAMPLES) or 1, _number(tags, _BITS) or 8
        decoding.check_memory(tile_width, tile_length, samples * bits / 8)
    if any(part[0] in ("bmp_rle", "ppm_plain") for part in image.tile):
        decoding.check_image_seconds(len(data) * _RUN_SECONDS, f"{len(data):,} bytes of runs or numbers")


def _number(tags: Any, tag: int) -> int:
    """A tag's value, the first of several; 0 where it is missing or not an integer."""
    value = tags.get(tag, 0)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else 0


def _as_mode(image: Image.Image, mode: str) -> Frame:
    """The pixels of a decoded image, which is not copied whole on the way."""
    image.load()
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    pixels = np.empty((height, width) if mode == "L" else (height, width, 3), np.uint8)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = np.asarray(strip if strip.mode == mode else strip.convert(mode))
    return pixels


def _scaled(image: Image.Image) -> Image.Image:
    """Grey levels of 16 bits, or of 32 that hold such, as 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    bits, inverted = _number(tags, _BITS) or 16, tags and _number(tags, _PHOTOMETRIC) == 0
    levels = np.asarray(image)
    top = (1 << bits) - 1 if image.mode != "I" and bits < 16 else 65535
    if levels.dtype.itemsize > 2 and levels.size and (levels.min() < 0 or levels.max() > top):
        raise BrokenClip(f"levels from {levels.min()} to {levels.max()}, which are not of 16 bits")
    table = np.rint(np.arange(top + 1) * (255 / top)).astype(np.uint8)
    if inverted:
        table = table[::-1]
    narrow = np.empty(levels.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, levels.shape[1]))
    for first in range(0, len(levels), rows):
        narrow[first : first + rows] = table[np.minimum(levels[first : first + rows], top)]
    return Image.fromarray(narrow)


def _wide_mode(image: ImageFile.ImageFile) -> str | None:
    """The raw mode of colours of 16 bits, of which Pillow takes the upper 8; None for other images."""
    if not image.tile:
        return None
    args = image.tile[0].args
    raw = args[0] if isinstance(args, tuple) and args else args
    if not isinstance(raw, str) or raw[-4:-1] != ";16" or raw.startswith(("I", "RGBa")):
        return None
    return raw


def _narrowed(image: ImageFile.ImageFile, data: bytes | memoryview, raw: str) -> Image.Image:
    """Colours of 16 bits as ``round(v / 257)``: decoded twice, for the upper and for the lower bytes."""
    if raw == "LA;16B":  # four bytes a pixel: grey and alpha, the upper first
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        return Image.fromarray(np.concatenate([_rounded(strip[..., 0], strip[..., 1]) for strip in _strips(image)]))
    order = raw[-1] if raw[-1] != "N" else "L" if sys.byteorder == "little" else "B"
    other = raw[:-1] + ("B" if order == "L" else "L")
    mode = "CMYK" if image.mode == "CMYK" else "RGB"
    pixels = np.concatenate([strip[..., : len(mode)] for strip in _strips(image)])
    image.close()
    with Image.open(io.BytesIO(data), formats=_FORMATS) as again:
        again.tile = [
            tile._replace(args=other if isinstance(tile.args, str) else (other, *(tile.args or ())[1:]))
            for tile in again.tile
        ]
        top = 0
        for strip in _strips(again):
            part = pixels[top : top + len(strip)]
            part[:] = _rounded(part, strip[..., : len(mode)])
            top += len(strip)
    return Image.fromarray(pixels, mode)


def _strips(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """The pixels of an image, some rows at a time."""
    image.load()
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield np.asarray(image.crop((0, top, width, min(height, top + rows))))


def _rounded(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``round((256 * upper + lower) / 257)``."""
    return ((upper.astype(np.uint32) * 256 + lower + 128) // 257).astype(np.uint8)
