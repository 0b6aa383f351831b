"""Arrays that may be larger than memory: in a file without a name, which the system writes out when memory is short."""

from __future__ import annotations

import math
import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from tinkit.files.cache import cache_folder
from tinkit.files.system_errors import write_errors

_LARGE = 1 << 28  # bytes; what is smaller is ordinary memory


def large_array(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A new float32 array of ``shape``; of 256 MiB or more, it lies in a file of the cache's file system.

    The file has no name and goes with the array. Its blocks are reserved at once: that the disk is full is a
    :class:`~tinkit.errors.UserError` here, and not a signal at a later write.
    """
    size = 4 * math.prod(shape)
    if size < _LARGE:
        return np.empty(shape, np.float32)
    folder = cache_folder()
    with write_errors(folder, "set TINKIT_CACHE to another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            mapped = mmap.mmap(file.fileno(), size)
    return np.frombuffer(mapped, np.float32).reshape(shape)


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:  # macOS has none
        zeros = bytes(1 << 20)
        for start in range(0, size, len(zeros)):
            os.pwrite(descriptor, zeros[: size - start], start)
