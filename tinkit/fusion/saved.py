"""What a fusion has learned, as an ``.npz`` beside its ``fusion.json``: float64, no pickle, checked by hash."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.hashes import sha256_file
from tinkit.files.reading import read_bounded
from tinkit.fusion.arrays import Learned

ARRAYS = "fusion.npz"
_MAX_BYTES = 1 << 28
_READABLE = 64  # numbers of a learned array that fusion.json shows, too


def write_learned(path: Path, learned: Learned) -> str:
    """Write the arrays, the same bytes for the same arrays; returns their SHA-256."""
    arrays: dict[str, Any] = {name: np.asarray(values, np.float64) for name, values in sorted(learned.items())}
    with path.open("wb") as sink:
        np.savez(sink, allow_pickle=False, **arrays)
    return sha256_file(path)


def described(learned: Learned) -> dict[str, Any]:
    """The arrays for a reader of ``fusion.json``: their numbers where they are few, else their shape."""
    return {
        name: values.tolist() if values.ndim == 1 and values.size <= _READABLE else {"shape": list(values.shape)}
        for name, values in learned.items()
    }


def read_learned(path: Path, shapes: Mapping[str, tuple[int, ...]], sha256: str) -> dict[str, NDArray[np.float64]]:
    """The arrays that :func:`write_learned` wrote. Raises UserError for anything but finite arrays of ``shapes``."""
    if not path.is_file():
        raise _damaged("there is no such file", path)
    most = min(_MAX_BYTES, 4096 * (len(shapes) + 1) + 8 * sum(math.prod(shape) for shape in shapes.values()))
    data = read_bounded(path, most, "what a fusion has learned")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged("its SHA-256 is not the one that fusion.json names", path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(item.file_size for item in archive.infolist()) > most:
                raise _damaged("unpacks to more than its arrays hold", path)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: np.array(arrays[name]) for name in arrays.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(f"not an npz of arrays: {error}", path) from error
    for name, shape in shapes.items():
        if name not in found or found[name].shape != shape or found[name].dtype != np.float64:
            raise _damaged(f"the array {name!r} is not float64 of shape {shape}", path)
        if not np.isfinite(found[name]).all():
            raise _damaged(f"the array {name!r} holds what is not a finite number", path)
    return {name: found[name] for name in shapes}


def _damaged(problem: str, path: Path) -> UserError:
    return UserError(problem, file=path, fix="make the fusion again: `tinkit ensemble ... --force`")
