"""Which pixels of a frame are looked at, and their resizing: PIL's bilinear filter, antialiased, on 8 bits.

A :class:`Box` is cut from a frame first and resized then, as the reference does: PIL's own ``resize(box=...)`` reads
pixels beyond the box.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinkit.data.decode.clip_reader import BrokenClip, Frame, Rectangle, cut_out
from tinkit.data.sampling.resize import resize, resize_into

SNAP = 3
"""Crops whose side differs from the input's by less than this many pixels take the input's."""

_TRIALS = 10  # of a crop of random area and shape
_SCALED_PIXELS = 16_000_000  # of a frame with its short side scaled, or four squares of that side

# In quarters of the free way, (x, y): corners, centre, edge middles, quarters.
_POSITIONS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame, in pixels; ``mirrored`` if what it shows is turned left to right after cutting."""

    left: int
    top: int
    width: int
    height: int
    mirrored: bool = False

    @property
    def rectangle(self) -> Rectangle:
        """Where it is, whichever way round it is shown."""
        return self.left, self.top, self.width, self.height


def multiscale_sizes(width: int, height: int, size: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """The (width, height) of the training crops of a frame: 10 for four scales (TSN's scale jittering).

    ``int(min(width, height) * s)``, set to ``size`` where they differ from it by less than 3; width and height at most
    one step of ``scales`` apart. Never below a pixel, nor above the frame: the reference would look over its edge
    where the short side is 1 or 2 pixels less than ``size``.
    """
    base = min(width, height)
    sides = [int(base * scale) for scale in scales]
    sides = [min(base, max(1, size if abs(side - size) < SNAP else side)) for side in sides]
    return [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]


@functools.lru_cache(256)
def _kept_sizes(width: int, height: int, size: int, scales: tuple[float, ...]) -> list[tuple[int, int]]:
    """As :func:`multiscale_sizes`, for the few sizes that a data set's frames have."""
    return multiscale_sizes(width, height, size, scales)


def multiscale_boxes(width: int, height: int, crop: tuple[int, int]) -> list[Box]:
    """The 13 places of a training crop of ``crop`` = (width, height)."""
    return [_at(position, width, height, crop) for position in _POSITIONS]


def _at(position: tuple[int, int], width: int, height: int, crop: tuple[int, int]) -> Box:
    return Box(position[0] * ((width - crop[0]) // 4), position[1] * ((height - crop[1]) // 4), *crop)


def multiscale(width: int, height: int, size: int, scales: Sequence[float], rng: np.random.Generator) -> Box:
    """A training crop: one of the sizes, at one of the places, both drawn uniformly."""
    sizes = _kept_sizes(width, height, size, tuple(scales))
    crop = sizes[rng.integers(len(sizes))]
    return _at(_POSITIONS[rng.integers(len(_POSITIONS))], width, height, crop)


def resized(
    width: int, height: int, area: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> Box:
    """A training crop of random area and shape: torchvision's RandomResizedCrop.

    The share of the frame's area is uniform in ``area``, the logarithm of width over height is uniform in that of
    ``ratio``; the place is uniform. What does not fit into the frame is drawn again, ten times in all. Then it is the
    largest crop in the middle whose shape is in ``ratio``.
    """
    for _ in range(_TRIALS):
        pixels = width * height * rng.uniform(*area)
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(height - h + 1))
            return Box(int(rng.integers(width - w + 1)), top, w, h)
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    return Box((width - w) // 2, (height - h) // 2, w, h)


def centre(width: int, height: int, size: int) -> Box:
    """The middle ``size`` x ``size`` pixels; the odd pixel falls as in torchvision's centre crop (half to even)."""
    return Box(round((width - size) / 2), round((height - size) / 2), size, size)


def three(width: int, height: int, size: int) -> list[Box]:
    """Three crops along the longer side, in the reference's order: its beginning (left, top), its end, its middle.

    At 0, 4 and 2 steps, with ``step = (side - size) // 4`` in both directions; across, at 2 steps. So the last crop of
    a landscape frame of 341 pixels begins at 4 * 29 = 116, not at 117. A portrait frame is cut along its height.
    """
    step_x, step_y = (width - size) // 4, (height - size) // 4
    if width >= height:
        return [Box(k * step_x, 2 * step_y, size, size) for k in (0, 4, 2)]
    return [Box(2 * step_x, k * step_y, size, size) for k in (0, 4, 2)]


def five(width: int, height: int, size: int) -> list[Box]:
    """The corners (upper left, upper right, lower left, lower right) and the centre, in the reference's order.

    At 0, 2 and 4 steps of ``(side - size) // 4``, as the first five places of training: so the right and the lower
    crops may end up to 3 pixels before the frame does, and the centre may lie a pixel or two beside :func:`centre`.
    """
    return multiscale_boxes(width, height, (size, size))[:5]


def ten(width: int, height: int, size: int) -> list[Box]:
    """:func:`five`, then their mirror images in the same order. (The reference has each beside its mirror image.)"""
    boxes = five(width, height, size)
    return boxes + [replace(box, mirrored=True) for box in boxes]


def test_boxes(width: int, height: int, size: int, spatial: int) -> list[Box]:
    """The ``spatial`` (1, 3, 5 or 10) test crops of a frame. Raises KeyError for another number."""
    if spatial == 1:
        return [centre(width, height, size)]
    return {3: three, 5: five, 10: ten}[spatial](width, height, size)


def cut(frame: Frame, box: Box) -> Frame:
    """The pixels that ``box`` shows, a view of ``frame``."""
    pixels = cut_out(frame, box.rectangle)
    return mirror(pixels, flow=is_flow(pixels)) if box.mirrored else pixels


def mirror(pixels: Frame, *, flow: bool) -> Frame:
    """(..., H, W, C) turned left to right. What moved right then moves left: every second channel of flow, x, becomes
    255 - x, as TSN does."""
    turned = pixels[..., ::-1, :]
    if flow:
        turned = turned.copy()
        turned[..., ::2] = 255 - turned[..., ::2]
    return turned


def is_flow(frame: Frame) -> bool:
    """Whether a single frame is one of optical flow: it has two channels then."""
    return frame.shape[-1] == 2


def cut_into(target: Frame, frame: Frame, box: Box) -> None:
    """Fill ``target`` (h, w, C) with the pixels that ``box`` shows, at that size."""
    pixels = cut_out(frame, box.rectangle)
    resize_into(target, pixels, mirrored=box.mirrored)
    if box.mirrored and is_flow(pixels):
        target[..., ::2] = 255 - target[..., ::2]


def scale_short_side(frame: Frame, scale: int) -> Frame:
    """``frame`` with its short side resized to ``scale``, the other to ``int(scale * long / short)``.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a ribbon that would grow beyond all bounds.
    """
    height, width = frame.shape[:2]
    other = int(scale * max(width, height) / min(width, height))
    new_width, new_height = (scale, other) if width <= height else (other, scale)
    if new_width * new_height > max(_SCALED_PIXELS, 4 * scale**2):
        raise BrokenClip(
            f"frames of {width}x{height} pixels, which would be {new_width}x{new_height} pixels when scaled"
        )
    return resize(frame, new_width, new_height)
