"""What is found in a foreign file: scores, and as far as it tells, ids, names of columns, labels and the kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.pickles.arrays import LazyArray
from tinkit.scores import Kind, Labels

MOST_BYTES = 16 << 30
"""Scores may not take more memory."""
_SUSPECT = 1 << 30  # bytes from which scores may not be much larger than their file
_PACKED = 64  # times: real scores pack a few times, a file of one repeated number thousands of times


@dataclass(frozen=True)
class Hints:
    """What the user says of a file that does not say it: all of it may be left out.

    ``delimiter`` and ``header`` of a csv; ``head`` of a file of several (``verb``, ``noun``); ``scores`` and ``ids``
    are the names of the column, key or array that holds them; ``classes`` the classes, if they are known.
    """

    delimiter: str | None = None
    header: bool | None = None
    head: str | None = None
    scores: str | None = None
    ids: str | None = None
    classes: tuple[str, ...] | None = None
    has_ids: bool = True
    """Whether the file is to hold ids; False where a list of them was given."""


@dataclass(frozen=True, eq=False)
class Found:
    """``scores`` (N, C) float32, NaN where a clip has none; ``ids`` of N, ``columns`` of C, ``labels`` of N, or None.

    ``kind``: what the file says that the scores are; ``form``: what was read, in words; ``left_out``: columns that are
    neither ids nor scores.
    """

    scores: NDArray[np.float32]
    ids: list[str] | None
    columns: tuple[str, ...] | None
    form: str
    labels: list[Labels] | None = None
    kind: Kind | None = None
    left_out: tuple[str, ...] = ()


def refuse_bomb(path: Path, numbers: int) -> None:
    """Raise a UserError for a file that claims more ``numbers`` than scores of its size have."""
    size = 4 * numbers
    if size > MOST_BYTES or (size > _SUSPECT and size > _PACKED * path.stat().st_size):
        raise UserError(
            f"claims {numbers:,} numbers, {max(1, size >> 20):,} MiB of scores",
            file=path,
            expected=f"at most {MOST_BYTES >> 30} GiB, and no more than {_PACKED} times the size of the file",
        )


def as_matrix(value: Any, path: Path) -> NDArray[np.float32]:
    """``value`` as scores (N, C) float32; axes of length 1 that stand for a single view are left out."""
    array = np.asarray(value.read() if isinstance(value, LazyArray) else value)
    while array.ndim > 2 and 1 in array.shape[1:-1]:
        array = array.squeeze(axis=1 + array.shape[1:-1].index(1))
    if array.ndim == 3 and array.dtype.kind in "fiu":
        raise UserError(
            f"scores of shape {array.shape}: a row a view?",
            file=path,
            expected="(clips, classes)",
            fix="average over the views before you save them",
        )
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise UserError(
            f"scores are {array.dtype} of shape {array.shape}", file=path, expected="numbers of shape (clips, classes)"
        )
    refuse_bomb(path, array.size)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and said to be
        return np.ascontiguousarray(array, np.float32)


def stacked(rows: Sequence[Any], path: Path) -> NDArray[np.float32]:
    """Rows of C scores each, one below the other, (N, C) float32. ``None`` is a clip without scores."""
    width = next((len(one) for one in map(_row, rows) if one is not None), 0)
    if not width:
        raise UserError("no row of scores in it", file=path, expected="a list of as many numbers as there are classes")
    refuse_bomb(path, width * len(rows))
    result = np.full((len(rows), width), np.nan, np.float32)
    for number, row in enumerate(rows):
        values = _row(row)
        if values is None:
            continue
        if values.shape != (width,) or values.dtype.kind not in "fiu":
            raise UserError(
                f"row {number + 1} is {values.dtype} of shape {values.shape}",
                file=path,
                expected=f"{width} numbers, as the rows before it have",
            )
        with np.errstate(over="ignore"):
            result[number] = values
    return result


def _row(value: Any) -> NDArray[Any] | None:
    """A row of scores as an array of one dimension, where it is one; a single view's axis is left out."""
    if value is None:
        return None
    if isinstance(value, LazyArray):
        value = value.read()
    if isinstance(value, list):
        value = _flat([np.nan if number is None else number for number in value])
    array = np.asarray(value)
    return array[0] if array.ndim == 2 and len(array) == 1 else np.atleast_1d(array)


def _flat(values: list[Any]) -> list[Any] | NDArray[Any]:
    """``values`` without the list around a single one; nothing that has further levels, which may be without end."""
    if len(values) == 1 and isinstance(values[0], list | np.ndarray):
        values = list(values[0])
    nested = any(isinstance(value, list | dict) or (isinstance(value, np.ndarray) and value.ndim) for value in values)
    return np.empty(0, object) if nested else values


def as_ids(values: Any, path: Path) -> list[str]:
    """Ids of text, bytes (UTF-8) or integers as text. Raises a UserError that names the row for any other."""
    if isinstance(values, LazyArray):
        values = values.read()
    if isinstance(values, np.ndarray):
        while values.ndim > 1 and 1 in values.shape:
            values = values.squeeze(axis=values.shape.index(1))
        if values.ndim != 1:
            raise UserError(f"ids are {values.dtype} of shape {values.shape}", file=path, expected="one id a clip")
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise UserError("its ids are not a list", file=path, expected="one id a clip: text, bytes or integers")
    return [_id(value, row, path) for row, value in enumerate(values, 1)]


def _id(value: Any, row: int, path: Path) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise UserError(f"the id of row {row} is not UTF-8: {value[:40]!r}", file=path) from None
    if isinstance(value, list | np.ndarray) and len(value) == 1:  # a batch of one
        return _id(value[0], row, path)
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise UserError(
            f"the id of row {row} is {value!r}"[:200],
            file=path,
            expected="text, bytes or an integer",
            fix="give the ids in the order of the rows: --ids LIST",
        )
    return value


def as_labels(values: Any, count: int) -> list[Labels] | None:
    """Labels of ``count`` clips as tuples of class indices; None where they are not that."""
    found: list[Labels] = []
    if isinstance(values, LazyArray):
        values = values.read()
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] > 1 and np.isin(values, (0, 1)).all():
        values = [np.flatnonzero(row) for row in values]
    if not isinstance(values, list | tuple | np.ndarray) or len(values) != count:
        return None
    for value in values:
        value = value.read() if isinstance(value, LazyArray) else value
        one = np.atleast_1d(np.asarray(_flat(value) if isinstance(value, list) else value))
        if one.ndim != 1 or one.dtype.kind not in "iu":
            return None
        # a made-up label of a split without labels is -1
        found.append(None if (one < 0).any() else tuple(sorted(set(map(int, one)))))
    return found
