"""A clip's frames as JPEGs of the size that they are packed in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg

from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, Frame, broken_on
from tinkit.data.decode.image_file import is_jpeg
from tinkit.data.decode.open_clip import ImageFolder
from tinkit.data.packed.index import PackSettings, ScaleSettings
from tinkit.data.sampling.crops import scale_short_side
from tinkit.data.sampling.resize import resize

_MOST_SIDE = 65_500  # of a JPEG
_MOST_GROWTH = 4  # squares of the wanted side, at least, that a frame may have


def encoded_frames(
    reader: ClipReader, indices: Sequence[int], settings: PackSettings
) -> Iterator[tuple[bytes, int, int]]:
    """JPEG, width and height of each frame of ``indices``, which ascend.

    Images on disk that are JPEGs of the right size already are taken as they are; they are decoded all the same, so
    that a broken one is found. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`.
    """
    if isinstance(reader, ImageFolder):
        for index in indices:
            name = reader.name_of(index)
            with broken_on((OSError,)):
                data = reader.read_bytes(name)
            frame = reader.decode_image(name, data)
            fitting = scaled(frame, settings)
            as_it_is = fitting is frame and is_jpeg(data)
            yield (data if as_it_is else to_jpeg(fitting, settings)), fitting.shape[1], fitting.shape[0]
        return
    for _, frame in reader.frames(indices):
        fitting = scaled(frame, settings)
        yield to_jpeg(fitting, settings), fitting.shape[1], fitting.shape[0]


def scaled(frame: Frame, settings: ScaleSettings) -> Frame:
    """``frame`` (H, W, 3) with the side that ``settings`` name as long as they say; itself where it is not larger.

    Bilinear and antialiased, as crops are resized. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a
    ribbon that would become longer than can be.
    """
    height, width = frame.shape[:2]
    side = height if settings.side == "height" else min(height, width)
    if side == settings.pixels or (side < settings.pixels and not settings.enlarge):
        return frame
    if settings.side == "short":
        return scale_short_side(frame, settings.pixels)
    other = max(1, round(settings.pixels * width / height))
    if other > _MOST_SIDE or other * settings.pixels > max(width * height, _MOST_GROWTH * settings.pixels**2):
        raise BrokenClip(f"frames of {width}x{height} pixels, which would be {other}x{settings.pixels} when scaled")
    return resize(frame, other, settings.pixels)


def to_jpeg(frame: Frame, settings: PackSettings) -> bytes:
    """A frame (H, W, 3) as a JPEG with halved colours (4:2:0)."""
    if max(frame.shape) > _MOST_SIDE:
        raise BrokenClip(f"frames of {frame.shape[1]}x{frame.shape[0]} pixels, too large for JPEG")
    pixels = np.ascontiguousarray(frame)
    data: bytes = simplejpeg.encode_jpeg(pixels, settings.quality, colorspace="RGB", colorsubsampling="420")
    return data
