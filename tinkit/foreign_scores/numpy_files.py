"""NumPy's npy and npz of unknown origin: sizes checked before memory is taken, objects followed and never built."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.foreign_scores.found import refuse_bomb
from tinkit.pickles.arrays import Plain
from tinkit.pickles.machine import follow

# What zipfile and numpy raise for damaged archives; of a RuntimeError's kind are passwords and unknown versions. NumPy
# takes headers apart with `tokenize`, whose errors are the interpreter's own.
_BROKEN = (
    *(ValueError, KeyError, OSError, EOFError, OverflowError, RuntimeError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
_MOST_MEMBERS = 10_000
_HEADER = 1 << 16


def read_npz(path: Path, steps: int) -> dict[str, Any]:
    """The arrays of an npz by name, those of objects as lists; ``steps`` bounds the instructions of their pickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS or len({member.filename for member in members}) < len(members):
                raise UserError("has too many members, or two of one name", file=path, expected="an npz of scores")
            refuse_bomb(path, sum(member.file_size for member in members) // 4)
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _array(stream, member.file_size, path, steps)
            return arrays
    except _BROKEN as error:
        raise UserError(
            f"not an npz of scores: {error}"[:500],
            file=path,
            expected="arrays `ids` (N,), `scores` (N, C) and, if wanted, `classes` (C,)",
        ) from error


def read_npy(path: Path, steps: int) -> Any:
    """The array of an npy, or the list of an array of objects."""
    try:
        with path.open("rb") as stream:
            return _array(stream, path.stat().st_size, path, steps)
    except _BROKEN as error:
        raise UserError(f"not an npy of scores: {error}"[:500], file=path, expected="an array (N, C)") from error


def _array(stream: IO[bytes], size: int, path: Path, steps: int) -> Any:
    """The array in ``stream``, which is of ``size`` bytes. Raises ValueError for one that is not as long as it says."""
    head = io.BytesIO(stream.read(_HEADER))
    version = npy.read_magic(head)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"a file of version {version} of NumPy's format")
    shape, fortran, dtype = read(head)
    begin = head.tell()
    rest = head.read()
    if dtype.hasobject:
        if dtype.kind != "O":
            raise ValueError("an array of records, which holds no scores")
        described = follow(rest + stream.read(), most_steps=steps)
        return Plain().of(described)
    if dtype.kind not in "biufSU":
        raise ValueError(f"an array of {dtype}")
    count = math.prod(shape)
    if count * dtype.itemsize != size - begin:
        raise ValueError(f"an array of shape {shape} in {size:,} bytes")
    array: NDArray[Any] = np.empty(count, dtype)
    memory = memoryview(array.view(np.uint8)) if array.size else memoryview(bytearray())  # type: ignore[arg-type]
    memory[: len(rest)] = rest
    at = len(rest)
    while at < len(memory):
        piece = stream.read(min(1 << 20, len(memory) - at))
        if not piece:
            raise ValueError("it ends early")
        memory[at : at + len(piece)] = piece
        at += len(piece)
    return array.reshape(shape, order="F" if fortran else "C")
