"""Foreign scores, as csv or npz, read into a table.

csv: a header, the clip's id in the first column, then a column a class, named by the class or numbered from 0
(``0``, ``score_0``, ...); a row of empty cells is a clip without scores. npz: ``ids`` (N,) of text, ``scores`` (N, C)
of numbers, and optionally ``classes`` (C,) of text; a row of NaN is a clip without scores. Columns that are named by
class are put in the order of the classes.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.errors import UserError, did_you_mean
from tinkit.files.system_errors import read_errors
from tinkit.files.text import as_utf8, require_utf8
from tinkit.scores.table import Labels, ScoreInfo, ScoreTable

_MOST_BYTES = 16 << 30  # an npz may not unpack to more


# What zipfile and numpy raise for damaged archives; of a RuntimeError's kind are passwords and unknown versions.
_NOT_NPZ = (
    *(ValueError, KeyError, OSError, EOFError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True, eq=False)
class Foreign:
    """What a foreign file holds: ``columns`` are the names of the columns of ``scores`` (N, C), None if unnamed."""

    ids: list[str]
    columns: tuple[str, ...] | None
    scores: NDArray[np.float32]


def read_foreign(path: Path) -> Foreign:
    """Read a ``.csv`` or ``.npz``. Raises UserError, naming the file and the row, where it is not as above."""
    if not path.is_file():
        raise UserError("no such file", file=path)
    with read_errors(path):
        match path.suffix:
            case ".csv":
                found = _read_csv(path)
            case ".npz":
                found = _read_npz(path)
            case _:
                raise UserError("neither .csv nor .npz", file=path, expected="scores in one of these two forms")
    unknown = np.isnan(found.scores)
    partly = np.flatnonzero(unknown.any(axis=1) & ~unknown.all(axis=1))
    if partly.size:
        row = int(partly[0])
        raise UserError(
            f"row {row + 1} ({found.ids[row]!r}) lacks some of its scores", file=path, expected="all, or none"
        )
    return found


def foreign_table(
    found: Foreign,
    info: ScoreInfo,
    path: Path,
    *,
    labels: Mapping[str, Labels] | None = None,
    source: Mapping[str, str] | None = None,
) -> ScoreTable:
    """The table of ``found`` with the classes of ``info``; labels and sources by id, where they are known.

    A clip without a known source is its own. Raises UserError when the columns are not the classes.
    """
    scores = found.scores[:, _order(found, info.classes, path)]
    known, sources = labels or {}, source or {}
    return ScoreTable(
        info=info,
        ids=found.ids,
        scores=scores,
        valid=np.asarray(~np.isnan(scores).all(axis=1)),
        labels=[known.get(name) for name in found.ids],
        source=[sources.get(name, name) for name in found.ids],
    )


def is_numbered(columns: Sequence[str]) -> bool:
    """Whether columns are only numbered, like ``0, 1`` or ``score_0, score_1``."""
    return all(re.fullmatch(r"(score_|class_)?\d+", name) for name in columns)


def _order(found: Foreign, classes: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    """Which column holds each class."""
    columns = found.columns
    if found.scores.shape[1] != len(classes):
        raise UserError(
            f"{found.scores.shape[1]} columns of scores", file=path, expected=f"{len(classes)}, one a class"
        )
    if columns is None:
        return np.arange(len(classes))
    if set(columns) != set(classes) and is_numbered(columns):
        numbers = [int(name.rpartition("_")[2]) for name in columns]
        if sorted(numbers) != list(range(len(classes))):
            raise UserError("the columns are not numbered 0, 1, ... once each", file=path)
        return np.argsort(numbers)
    for name in columns:
        if name not in classes:
            raise UserError(f"column {name!r} is not a class{did_you_mean(name, classes)}", file=path)
    if len(set(columns)) < len(columns):
        raise UserError("two columns have the same name", file=path)
    place = {name: index for index, name in enumerate(columns)}
    return np.array([place[name] for name in classes])


def _read_csv(path: Path) -> Foreign:
    from pyarrow import csv

    try:
        with path.open("rb") as source, csv.open_csv(as_utf8(source, path)) as reader:
            names = reader.schema.names
        types = {name: pa.float32() for name in names[1:]} | {names[0]: pa.string()}
        if len(types) < len(names):
            raise UserError("two columns have the same name", file=path, line=1)
        with path.open("rb") as source:
            table = csv.read_csv(as_utf8(source, path), convert_options=csv.ConvertOptions(column_types=types))
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        require_utf8(path)
        raise UserError(
            f"not a csv of scores: {error}", file=path, expected="a header; an id, then a number a class"
        ) from error
    scores = (
        np.column_stack([table.column(i).to_numpy() for i in range(1, table.num_columns)]) if len(names) > 1 else None
    )
    if scores is None:
        raise UserError("no column of scores", file=path, line=1, expected="a header; an id, then a number a class")
    return Foreign(table.column(0).to_pylist(), tuple(names[1:]), scores.astype(np.float32, copy=False))


def _read_npz(path: Path) -> Foreign:
    expected = "arrays `ids` (N,) of text, `scores` (N, C) of numbers and, if wanted, `classes` (C,) of text"
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _MOST_BYTES:
            raise UserError(f"unpacks to {size >> 30} GiB", file=path, expected=f"at most {_MOST_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            ids, scores = arrays["ids"], arrays["scores"]
            classes = arrays.get("classes")
    except _NOT_NPZ as error:
        raise UserError(f"not an npz of scores: {error}", file=path, expected=expected) from error
    texts = ids.dtype.kind == "U" and ids.ndim == 1 and (classes is None or classes.dtype.kind == "U")
    if not texts or scores.ndim != 2 or scores.dtype.kind not in "fiu" or len(scores) != len(ids):
        raise UserError(
            f"ids are {ids.dtype} of shape {ids.shape}, scores {scores.dtype} of shape {scores.shape}",
            file=path,
            expected=expected,
        )
    names = None if classes is None else tuple(str(name) for name in classes)
    if names is not None and len(names) != scores.shape[1]:
        raise UserError(f"{len(names)} classes and {scores.shape[1]} columns of scores", file=path)
    return Foreign([str(name) for name in ids], names, scores.astype(np.float32))
