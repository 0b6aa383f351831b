"""Frames that are JPEGs, from their bytes to where they are shown, by one native call: decoded, cut, resized, mirrored.

The pixels are those of the single steps (:mod:`tinkit.data.decode.jpeg_part`, :mod:`tinkit.data.sampling.resize`), by
the same native code; what an object and a call a frame cost is spared. A file that is not to be read so ends the call,
and is left to those steps.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tinkit.data.decode.clip_reader import Frame, Rectangle
from tinkit.data.decode.jpeg_part import PartDecoder, decoder_of_parts
from tinkit.data.sampling.resize import Kernel, address_of, is_packed, native_kernel

Files = Sequence[bytes | memoryview]

_COLOURS = 3
_CUT = 15  # whole numbers
_TABLES = b"\xff\xdb"  # what a segment with tables of quantisation begins with


class Shown(NamedTuple):
    """What is shown of each frame: ``place``, a rectangle in the part that is decoded, perhaps ``mirrored``.

    ``targets`` has for each of the frames an array (h, w, 3) to fill, of one size and one layout for all, or None.
    """

    place: Rectangle
    mirrored: bool
    targets: Sequence[Frame | None]


def can_show_jpegs(target: Frame) -> bool:
    """Whether there is a native call, and pixels of ``target`` (h, w, 3) lie side by side, as it needs them.

    To be asked once before other processes are started, so that each finds it ready.
    """
    return _native() is not None and is_packed(target)


def show_jpegs(files: Files, size: tuple[int, int], part: Rectangle, shown: Sequence[Shown]) -> int:
    """Fill the targets of ``shown`` with JPEGs of ``size`` (width, height), of which ``part`` is decoded.

    How many files, from the first on, are shown: less than all where one is none of one scan, has another size or a
    fault in or above the part, or no end. Targets are such as :func:`can_show_jpegs` allows.
    """
    native = _native()
    assert native is not None
    return native(files, size, part, shown)


class _Native:
    """The native function, with what it needs of the decoder and of the kernel that resizes."""

    def __init__(self, decoder: PartDecoder, kernel: Kernel) -> None:
        whole, address = ctypes.c_int64, ctypes.c_void_p
        self._function: Any = decoder.library.tinkit_show_jpegs
        self._function.argtypes = (address, address, whole, whole, whole, address, address, whole, address)
        self._function.restype = whole
        self._decoder, self._table, self._kernel = decoder, ctypes.byref(decoder.functions), kernel

    def __call__(self, files: Files, size: tuple[int, int], part: Rectangle, shown: Sequence[Shown]) -> int:
        held = [np.frombuffer(file, np.uint8) for file in files]
        sources = np.array([(address_of(file), len(file)) for file in held], np.int64)
        cuts = np.array([self._cut(cut) for cut in shown], np.int64)
        rows = zip(*(cut.targets for cut in shown), strict=True)
        targets = np.array([[0 if one is None else address_of(one) for one in row] for row in rows], np.int64)
        where = np.array(part, np.int64)
        arguments = (address_of(sources), len(held), *size, address_of(where), address_of(cuts), len(cuts))
        done: int = self._function(self._table, *arguments, address_of(targets))
        return done

    def _cut(self, cut: Shown) -> tuple[int, ...]:
        """As ``Cut`` of ``kernels/cpu/images/clip.h``; zeros if there is no frame for it."""
        target = next((target for target in cut.targets if target is not None), None)
        if target is None:
            return (0,) * _CUT
        way = self._kernel.way(*cut.place[2:], target.shape[1], target.shape[0])
        return *cut.place, *way, int(cut.mirrored), target.strides[0]


@functools.cache
def _native() -> _Native | None:
    """The native call, if there is one here that does not decode a file with the tables of another."""
    decoder, kernel = decoder_of_parts(), native_kernel()
    if decoder is None or kernel is None or not hasattr(decoder.library, "tinkit_show_jpegs"):
        return None
    native = _Native(decoder, kernel)
    return native if _is_forgetful(native) else None


def _is_forgetful(native: _Native) -> bool:
    whole = simplejpeg.encode_jpeg(np.zeros((16, 16, _COLOURS), np.uint8))
    begin = whole.index(_TABLES)
    lacking = whole[:begin] + whole[begin + 2 + int.from_bytes(whole[begin + 2 : begin + 4], "big") :]
    targets: list[NDArray[np.uint8]] = list(np.empty((3, 16, 16, _COLOURS), np.uint8))
    everything = (0, 0, 16, 16)
    files = [whole, lacking, whole]
    return native(files, (16, 16), everything, [Shown(everything, mirrored=False, targets=targets)]) == 1
