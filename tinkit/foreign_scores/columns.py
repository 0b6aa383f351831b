"""Scores in a table of columns: a csv, Parquet, Feather or Arrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.foreign_scores.found import Found, Hints, as_ids, as_labels, refuse_bomb
from tinkit.foreign_scores.words import IDS, LABELS, SCORES, named, numbers_of, word


def found_in_columns(table: pa.Table, hints: Hints, path: Path, form: str, *, named_columns: bool = True) -> Found:
    """The scores in ``table``: a column of ids, then a column a class, or one column of lists.

    ``named_columns``: False where the columns' names mean nothing. Raises :class:`~tinkit.errors.UserError`.
    """
    names = list(table.column_names)
    if len(set(names)) < len(names):
        raise UserError("two columns have the same name", file=path, expected="a name a column")
    if not table.num_rows:
        raise UserError("no rows of scores", file=path, expected="one row a clip")
    id_column = _id_column(table, hints, path, named_columns=named_columns)
    rest = [name for name in names if name != id_column]
    lists = [name for name in rest if _is_list(table.schema.field(name).type)]
    labels_column = next((str(name) for name in named(rest, LABELS)), None) if named_columns else None
    ids = None if id_column is None else as_ids(table.column(id_column).to_pylist(), path)
    columns: tuple[str, ...] | None = None
    kind = None
    if hints.scores is not None or lists:
        chosen = _list_column(lists, hints, path)
        scores, kind = _of_lists(table.column(chosen), path), SCORES.get(word(chosen))
        used = [chosen]
    else:
        used = _class_columns(table, rest, labels_column, hints)
        if not used:
            raise UserError("no column of scores", file=path, expected="an id, then a number a class")
        scores = _of_numbers(table, used, path)
        columns = tuple(used) if named_columns else None
    labels = None
    if labels_column is not None and labels_column not in used:
        labels = as_labels(table.column(labels_column).to_pylist(), table.num_rows)
    left_out = tuple(name for name in rest if name not in used and (labels is None or name != labels_column))
    return Found(scores, ids, columns, form, labels, kind, left_out if named_columns else ())


def _id_column(table: pa.Table, hints: Hints, path: Path, *, named_columns: bool) -> str | None:
    names = list(table.column_names)
    if hints.ids is not None:
        if hints.ids not in names:
            raise UserError(f"has no column {hints.ids!r}", file=path, expected=f"one of: {', '.join(names[:10])}")
        return hints.ids
    texts = [name for name in names if _is_text(table.schema.field(name).type)]
    if named_columns:
        known = [str(name) for name in named(names, IDS)]
        telling = [name for name in known if name in texts] or [name for name in known if word(name) != "index"]
        if telling:
            return telling[0]
        if (index := _index_of_pandas(table)) is not None:
            return index
    if texts:
        return texts[0]
    width = len(hints.classes or ())
    if not hints.has_ids or not names or len(names) == width:
        return None
    integers = pa.types.is_integer(table.schema.field(names[0]).type)
    numbered = numbers_of(names) is not None and named_columns
    return names[0] if integers and not numbered and (width in (0, len(names) - 1)) else None


def _index_of_pandas(table: pa.Table) -> str | None:
    """The column that pandas wrote the index into, of text."""
    raw = (table.schema.metadata or {}).get(b"pandas")
    try:
        columns = json.loads(raw)["index_columns"] if raw else []
    except (ValueError, KeyError, TypeError):
        return None
    name = columns[0] if isinstance(columns, list) and len(columns) == 1 else None
    return name if isinstance(name, str) and name in table.column_names else None


def _class_columns(table: pa.Table, rest: list[str], labels: str | None, hints: Hints) -> list[str]:
    """The columns of scores: those named by the known classes, or the numbered ones, or all that hold numbers."""
    numbers = [name for name in rest if _is_number(table.schema.field(name).type)]
    classes = hints.classes
    if classes is not None and set(classes) <= set(numbers):
        return [name for name in numbers if name in set(classes)]
    numbers = [name for name in numbers if name and not word(name).startswith("unnamed:")]
    if classes is not None and len(numbers) == len(classes):
        return numbers
    without = [name for name in numbers if name != labels]
    if classes is not None and len(without) > len(classes):
        numbered = [name for name in without if numbers_of([name]) is not None]
        if len(numbered) == len(classes) and numbers_of(numbered) is not None:
            return numbered
    return without


def _list_column(lists: list[str], hints: Hints, path: Path) -> str:
    if hints.scores is not None:
        if hints.scores not in lists:
            raise UserError(
                f"has no column {hints.scores!r} of lists", file=path, expected=", ".join(lists) or "a column a class"
            )
        return hints.scores
    known = [str(name) for name in named(lists, SCORES)]
    if len(lists) > 1 and len(known) != 1:
        raise UserError(f"has several columns of lists: {', '.join(lists)}", file=path, fix="say --scores COLUMN")
    return known[0] if known else lists[0]


def _of_lists(column: pa.ChunkedArray, path: Path) -> NDArray[np.float32]:
    """A column of lists of one length as (N, C) float32; a null list is a clip without scores."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    valid = ~lists.is_null().to_numpy(zero_copy_only=False)
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)[valid]
    width = int(lengths[0]) if lengths.size else 0
    if not width or not (lengths == width).all():
        raise UserError("rows of scores of unlike lengths, or of none", file=path, expected="a number a class in each")
    refuse_bomb(path, width * len(lists))
    scores = np.full((len(lists), width), np.nan, np.float32)
    values = lists.filter(pa.array(valid)).flatten()
    with np.errstate(over="ignore"):
        scores[valid] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return scores


def _of_numbers(table: pa.Table, names: list[str], path: Path) -> NDArray[np.float32]:
    refuse_bomb(path, len(names) * table.num_rows)
    scores = np.empty((table.num_rows, len(names)), np.float32)
    with np.errstate(over="ignore"):
        for place, name in enumerate(names):
            scores[:, place] = table.column(name).to_numpy()
    return scores


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests) or pa.types.is_fixed_size_binary(kind)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _is_list(kind: Any) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and _is_number(kind.value_type) and not pa.types.is_null(kind.value_type))
