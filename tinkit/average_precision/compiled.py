"""The compiled average precision of ``kernels/metrics``: made at first use, kept in the cache, loaded once.

A row with few positives need not be sorted: for each of them, what scores at least as much is counted. In NumPy that
is hardly faster than sorting, since every comparison writes its result to memory; compiled, it is ten times faster.
Without a compiler, or with ``TINKIT_NATIVE=0``, rows are sorted (:mod:`tinkit.average_precision.rows`).
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.average_precision.rows import row_ap
from tinkit.errors import UserError

logger = logging.getLogger(__name__)

SMALL = 1 << 18
"""Numbers for which it is not worth to load, or even compile, a library."""
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
_SOURCE = Path("metrics", "average_precision.cpp")
_LIMIT = 60.0  # seconds; it takes one
_MANY = -1.0  # what the library writes for a row that it leaves to the caller
Matrix = NDArray[Any]


def compared_ap(scores: Matrix, marks: Matrix) -> NDArray[np.float64] | None:
    """Average precision of each row of ``scores`` (n, C) of float32 or float64, (n,) float64; NaN without a positive.

    ``marks`` (n, C) of bool, int8 or uint8. None where there is no library or its use would not pay, where a score is
    NaN and where a mark is neither 0 nor 1: the caller then says which.
    """
    fits = scores.dtype in (np.float32, np.float64) and scores.dtype.isnative and marks.dtype.itemsize == 1
    if scores.size < SMALL or not fits or (library := _library()) is None:
        return None
    values, positive = _by_rows(scores), _by_rows(marks)
    rows, width = values.shape
    result = np.empty(rows)
    count = library.tinkit_row_ap_float32 if values.dtype == np.float32 else library.tinkit_row_ap_float64
    whole = count(
        values.ctypes.data,
        values.strides[0] // values.itemsize,
        positive.ctypes.data,
        positive.strides[0],
        rows,
        width,
        result.ctypes.data,
    )
    if whole < rows:
        return None
    many = np.flatnonzero(result == _MANY)
    step = max(1, SMALL // max(1, width))
    for start in range(0, len(many), step):
        own = many[start : start + step]
        result[own] = row_ap(values[own], positive[own].view(bool))
    return result


def _by_rows(matrix: Matrix) -> Matrix:
    """``matrix``, each of whose rows is contiguous and ahead of the next; a copy only where it is not so."""
    row, column = matrix.strides
    within = column == matrix.itemsize and row >= 0 and row % matrix.itemsize == 0
    return matrix if within and matrix.flags.aligned else np.ascontiguousarray(matrix)


@functools.cache
def _library() -> Any:
    """The library; None where it cannot be had, which is said in the log: the same numbers come more slowly."""
    from tinkit.files.shipped import shipped
    from tinkit.native.library import wanted

    if not wanted() or os.name != "posix":
        return None
    try:
        return _declared(_found_or_made(shipped("kernels") / _SOURCE))
    except (UserError, OSError) as error:
        logger.info("average precision is not compiled: %s", error)
        return None


def _found_or_made(source: Path) -> ctypes.CDLL:
    from tinkit.native.cache import KernelError, digest, find, keep
    from tinkit.native.library import compiled, compilers, loaded

    kind = (platform.system(), platform.machine(), *platform.libc_ver())
    key = f"ap-{digest(*_FLAGS, *kind, source.read_bytes())}"
    if (kept := find(key, ".so")) is not None:
        return loaded(kept)
    for compiler in compilers():
        try:
            return loaded(keep(key, ".so", functools.partial(compiled, source, compiler, _FLAGS, limit=_LIMIT)))
        except KernelError as error:
            logger.info("%s", error)
    raise KernelError("no C++ compiler made it")


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for function in (library.tinkit_row_ap_float32, library.tinkit_row_ap_float64):
        function.restype = number
        function.argtypes = [pointer, number, pointer, number, number, number, pointer]
    return library
