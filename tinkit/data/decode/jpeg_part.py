"""A part of a JPEG, to the same pixels as in the whole one, without decoding what lies beside and below it.

libjpeg-turbo can: what Pillow has loaded is called by the native library (``kernels/cpu/images/jpeg.h``), whoever built
it, if its interface is of a known version and it gives the pixels that simplejpeg gives. A part that is not had so, for
whatever reason, is cut out of the whole image by others, who also judge what is wrong with a file.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tinkit.data.decode.clip_reader import Frame, Rectangle

_KNOWN = ((62, 632), (80, 656))
"""Versions of the interface, and the size of a decoder in each."""

_FUNCTIONS = (
    *("jpeg_std_error", "jpeg_CreateDecompress", "jpeg_mem_src", "jpeg_read_header", "jpeg_has_multiple_scans"),
    *("jpeg_start_decompress", "jpeg_crop_scanline", "jpeg_skip_scanlines", "jpeg_read_scanlines"),
    *("jpeg_abort_decompress", "jpeg_destroy_decompress"),
)
"""In the order of the native library's table."""


def part_of_jpeg(data: bytes | memoryview, width: int, height: int, part: Rectangle) -> Frame | None:
    """The pixels of ``part`` of an RGB, YCbCr or grey JPEG of ``width`` x ``height`` pixels, as RGB.

    None where the whole file is to be decoded: it has several scans or other colours, no end, a fault above the lower
    edge of the part, or parts cannot be decoded here.
    """
    decoder = decoder_of_parts()
    if decoder is None:
        return None
    pixels = np.empty((part[3], part[2], 3), np.uint8)
    return pixels if decoder(data, width, height, part, pixels) else None


class Functions(ctypes.Structure):
    """``LibJpeg`` of ``kernels/cpu/images/libjpeg.h``."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_void_p) for name in _FUNCTIONS),
    )


class PartDecoder:
    """The native function of ``library``, with the functions of the libjpeg that it calls."""

    def __init__(self, library: ctypes.CDLL, functions: Functions) -> None:
        whole, address = ctypes.c_int64, ctypes.c_void_p
        self._function: Any = library.tinkit_jpeg_part
        self._function.argtypes = (address, address, *[whole] * 7, address, whole)
        self.library, self.functions, self._table = library, functions, ctypes.byref(functions)

    def __call__(
        self, data: bytes | memoryview, width: int, height: int, part: Rectangle, pixels: NDArray[np.uint8]
    ) -> bool:
        """Whether ``pixels`` (h, w, 3) could be filled with ``part`` of a JPEG of that size."""
        source = np.frombuffer(data, np.uint8)
        where = pixels.ctypes.data, pixels.strides[0]
        return bool(self._function(self._table, source.ctypes.data, len(data), width, height, *part, *where))


@functools.cache
def decoder_of_parts() -> PartDecoder | None:
    """The decoder of parts, if there is one here and its pixels are simplejpeg's."""
    from tinkit.ops import native  # loads PyTorch, which those who read whole images do not need

    library = native.state().library
    table = None if library is None else _table(library)
    if library is None or table is None:
        return None
    decoder = PartDecoder(library, table)
    return decoder if all(_agrees(decoder, sampling) for sampling in ("444", "422", "420")) else None


def _table(library: ctypes.CDLL) -> Functions | None:
    """The functions of the libjpeg that Pillow has loaded; None if there is none of a known version among them."""
    from PIL import _imaging

    pillow = ctypes.CDLL(_imaging.__file__)  # which looks up names in all the libraries that it needs, too
    try:
        functions = [ctypes.cast(getattr(pillow, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except AttributeError:
        return None
    for version, size in _KNOWN:
        table = Functions(version, size, *functions)
        if library.tinkit_jpeg_is_known(ctypes.byref(table)):
            return table
    return None


def _agrees(decoder: PartDecoder, sampling: str) -> bool:
    noise = np.random.default_rng(0).integers(0, 256, (83, 97, 3), np.uint8)
    data = simplejpeg.encode_jpeg(noise, colorsubsampling=sampling)
    pixels = np.empty((30, 40, 3), np.uint8)
    found = decoder(data, 97, 83, (33, 25, 40, 30), pixels)
    return found and np.array_equal(pixels, simplejpeg.decode_jpeg(data)[25:55, 33:73])
