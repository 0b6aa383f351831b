"""Frames at another size: Pillow's bilinear filter, antialiased, on 8 bits, which published networks were trained with.

The filter is two passes, along rows and along columns, each a mean of neighbours with integer weights, rounded to 8
bits. The native kernel (``kernels/cpu/loops/resize.h``) gives Pillow's pixels to the bit, mirrors on the way and writes
where the pixels are wanted. Which pass comes first differs between versions of Pillow: the one that is installed is
asked once, so that a machine's pixels are the same with and without a compiler. Without the kernel Pillow itself runs.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tinkit.data.decode.clip_reader import Frame
from tinkit.native.cache import say_once
from tinkit.ops import native

Order = Callable[[int, int, int, int], bool]
"""Whether (width, height) to (width, height) is resized along columns first."""

_BITS = 22  # of a weight behind the point: Pillow's 32 - 8 - 2
_STRIP_PIXELS = 1 << 22  # a larger frame is resized in strips, so that Pillow's four bytes a pixel are not all there
_CHANNELS = (1, 2, 3)  # that the kernel knows
_TRIED = ((40, 60, 30, 41), (40, 60, 30, 39), (40, 60, 50, 40), (60, 40, 23, 31), (23, 17, 61, 40), (64, 48, 9, 7))
"""Sizes from and to, on either side of what decides the order."""
_SIZES = 4096  # pairs of sizes whose weights are kept: some kB each


def resize(frame: Frame, width: int, height: int) -> Frame:
    """``frame`` (H, W, C) uint8 resized to ``width`` x ``height``; itself if it has that size already.

    The vectors of flow are resized like colours: they keep their length in pixels of the original, as published.
    """
    if frame.shape[:2] == (height, width):
        return frame
    resized = np.empty((height, width, frame.shape[2]), np.uint8)
    resize_into(resized, frame, mirrored=False)
    return resized


def resize_into(target: NDArray[np.uint8], frame: Frame, *, mirrored: bool) -> None:
    """Fill ``target`` (h, w, C) with ``frame`` (H, W, C) at that size, turned left to right if ``mirrored``.

    Either may be a part of a larger array.
    """
    kernel = native_kernel()
    if kernel is None or frame.shape[2] not in _CHANNELS:
        resized = _by_pillow(frame, target.shape[1], target.shape[0])
        target[:] = resized[:, ::-1] if mirrored else resized
        return
    frame = frame if is_packed(frame) else np.ascontiguousarray(frame)
    if is_packed(target):
        kernel(target, frame, mirrored=mirrored)
        return
    packed = np.empty(target.shape, np.uint8)
    kernel(packed, frame, mirrored=mirrored)
    target[:] = packed


def load_kernel() -> None:
    """Load the native kernel, which may have to be compiled: to be called before other processes are started."""
    native_kernel()


class Kernel:
    """The native kernel of ``library``, and which pass it runs first."""

    def __init__(self, library: ctypes.CDLL, columns_first: Order) -> None:
        whole, address = ctypes.c_int64, ctypes.c_void_p
        means = (address, address, whole, whole)
        self._function: Any = library.tinkit_resize
        self._function.argtypes = (address, *[whole] * 4, *means, *means, ctypes.c_int, ctypes.c_int, address, whole)
        self._function.restype = None
        self._columns_first = columns_first

    def __call__(self, target: NDArray[np.uint8], frame: Frame, *, mirrored: bool) -> None:
        """Fill ``target`` (h, w, C) with ``frame`` (H, W, C); the pixels of a row of either lie side by side."""
        height, width, channels = frame.shape
        to_height, to_width = target.shape[:2]
        self._function(
            *(address_of(frame), frame.strides[0], width, height, channels),
            *self.way(width, height, to_width, to_height),
            *(mirrored, address_of(target), target.strides[0]),
        )

    def way(self, width: int, height: int, to_width: int, to_height: int) -> tuple[int, ...]:
        """How one size becomes another, as native functions are told: the means of both sides, and which pass is first.

        The addresses among them hold while the means are kept: for the next thousands of pairs of sizes.
        """
        x, y = _means(width, to_width), _means(height, to_height)
        return *x.arguments, *y.arguments, int(self._columns_first(width, height, to_width, to_height))


@functools.cache
def native_kernel() -> Kernel | None:
    """The native kernel if it is at hand and agrees with the Pillow that is installed."""
    library = native.state().library
    if library is None or not hasattr(library, "tinkit_resize"):
        return None
    order = _order()
    kernel = None if order is None else Kernel(library, order)
    if kernel is None or not all(_agrees(kernel, *sizes) for sizes in _TRIED):
        say_once("the installed Pillow resizes in a way that the native kernel does not know: Pillow is used, slower")
        return None
    return kernel


def _agrees(kernel: Kernel, width: int, height: int, to_width: int, to_height: int) -> bool:
    frame = _noise(width, height)
    target = np.empty((to_height, to_width, 3), np.uint8)
    kernel(target, frame, mirrored=False)
    return np.array_equal(target, _whole(frame, to_width, to_height))


@functools.cache
def _order() -> Order | None:
    """How the installed Pillow orders the passes; None if in no way that is known here."""
    for order in (_rows_first, _columns_first_if_much_lower):
        if all(_is_order(order, *sizes) for sizes in _TRIED):
            return order
    return None


def _is_order(order: Order, width: int, height: int, to_width: int, to_height: int) -> bool:
    frame = _noise(width, height)
    return np.array_equal(_whole(frame, to_width, to_height), _in_passes(frame, to_width, to_height, order))


def _rows_first(width: int, height: int, to_width: int, to_height: int) -> bool:
    """As Pillow does up to 12."""
    return False


def _columns_first_if_much_lower(width: int, height: int, to_width: int, to_height: int) -> bool:
    """As Pillow does from 13 on: where the height falls by more than twice as many pixels as the width."""
    return height - to_height > max(0, 2 * (width - to_width))


def _noise(width: int, height: int) -> Frame:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class _Means:
    """Output i is the sum of ``weight[i]`` (size, taps) times the inputs from ``first[i]`` (size,) on; both int32."""

    def __init__(self, first: NDArray[np.int64], weight: NDArray[np.int32]) -> None:
        self.first, self.weight = first.astype(np.int32), np.ascontiguousarray(weight)
        self.arguments = (self.first.ctypes.data, self.weight.ctypes.data, *self.weight.shape)
        """What the kernel is told: where both are, their size and how many taps there are."""


@functools.lru_cache(_SIZES)
def _means(size: int, target: int) -> _Means:
    """The means that make ``target`` values of ``size``: a triangle as wide as a target's value, or as an input's.

    The arithmetic is Pillow's, in double precision and in its order.
    """
    if size == target:
        return _Means(np.arange(size), np.full((size, 1), 1 << _BITS, np.int32))
    scale = size / target
    reach = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    low = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + reach + 0.5).astype(np.int64), size)
    place = np.arange(int((high - low).max()))
    distance = np.abs((place + low[:, None] - centre[:, None] + 0.5) * (1.0 / reach))
    share = np.where((distance < 1.0) & (place < (high - low)[:, None]), 1.0 - distance, 0.0)
    share /= np.add.accumulate(share, axis=1)[:, -1:]  # one after the other: a sum in pairs rounds otherwise
    return _packed((0.5 + share * (1 << _BITS)).astype(np.int32), low, size)


def _packed(weight: NDArray[np.int32], low: NDArray[np.int64], size: int) -> _Means:
    """Rows of as few weights as there are, all within the input: those that are 0 at either end are left out."""
    used = weight != 0
    begin, end = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
    taps = int((end - begin).max())
    first = np.minimum(low + begin, size - taps)
    packed = np.zeros((len(weight), taps), np.int32)
    row, column = np.nonzero(used)
    packed[row, column + (low - first)[row]] = weight[row, column]
    return _Means(first, packed)


def address_of(pixels: NDArray[Any]) -> int:
    """Where they begin; ``pixels.ctypes`` would make an object to say so."""
    address: int = pixels.__array_interface__["data"][0]
    return address


def is_packed(pixels: NDArray[np.uint8]) -> bool:
    """Whether a row's pixels lie one after the other."""
    return pixels.strides[1:] == (pixels.shape[2], 1) and pixels.strides[0] > 0


def _by_pillow(frame: Frame, width: int, height: int) -> Frame:
    """(height, width, C), without a copy of a large frame in Pillow's four bytes a pixel if that can be had."""
    if frame.shape[:2] == (height, width):
        return frame
    order = _order() if frame.shape[0] * frame.shape[1] > _STRIP_PIXELS else None
    return _whole(frame, width, height) if order is None else _in_passes(frame, width, height, order)


def _in_passes(frame: Frame, width: int, height: int, columns_first: Order) -> Frame:
    """One pass after the other. A pass looks at single rows or columns, so that strips change nothing."""
    old_height, old_width = frame.shape[:2]
    if columns_first(old_width, old_height, width, height):
        return _by_rows(_by_columns(frame, height), width)
    return _by_columns(_by_rows(frame, width), height)


def _by_rows(frame: Frame, width: int) -> Frame:
    """Another width, some rows at a time."""
    rows = max(1, _STRIP_PIXELS // frame.shape[1])
    strips = [_whole(frame[top : top + rows], width, None) for top in range(0, len(frame), rows)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def _by_columns(frame: Frame, height: int) -> Frame:
    """Another height, some columns at a time."""
    columns = max(1, _STRIP_PIXELS // frame.shape[0])
    strips = [_whole(frame[:, left : left + columns], None, height) for left in range(0, frame.shape[1], columns)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=1)


def _whole(frame: Frame, width: int | None, height: int | None) -> Frame:
    """``frame`` by Pillow at another size, which is its own where that is None."""
    if frame.shape[2] != 3:  # Pillow has no image of two plain channels
        planes = [_whole_image(frame[..., channel], width, height) for channel in range(frame.shape[2])]
        return np.stack(planes, axis=-1)
    return _whole_image(frame, width, height)


def _whole_image(pixels: NDArray[np.uint8], width: int | None, height: int | None) -> Frame:
    size = (pixels.shape[1] if width is None else width, pixels.shape[0] if height is None else height)
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BILINEAR))
