"""What a table of scores may not hold: rows that cannot be told apart, labels without a class, scores that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.scores.table import Rows, ScoreInfo, ScoreTable

FIELDS = {"ids": "id", "labels": "labels", "source": "source"}
"""A table's columns that are not numbers, as the file names them."""

_BLOCK = 1 << 17  # score values checked at a time: they fit the processor's cache
_ONE = 1 + 1e-5  # what a probability may be, rounded


def check_scores(table: ScoreTable, path: str | Path | None = None) -> None:
    """Raise a UserError naming the first valid row whose scores are not finite, or not in 0..1 where they must be."""
    step = max(1, _BLOCK // max(1, table.scores.shape[1]))
    for start in range(0, len(table), step):
        rows = slice(start, start + step)
        check_block(table, table.scores[rows], table.valid[rows], start, path)


def check_block(
    rows: Rows, block: NDArray[np.float32], valid: NDArray[np.bool_], start: int, path: str | Path | None
) -> None:
    """:func:`check_scores` of ``block`` (n, C), the scores of rows from ``start`` on; ``valid`` (n,) of them count."""
    unit = rows.info.kind != "logits"
    if is_sound(block, unit=unit):
        return
    good = np.isfinite(block)
    if unit:
        good &= (block >= 0) & (block <= _ONE)
    bad = np.flatnonzero(valid & ~good.all(axis=1))
    if bad.size:
        raise UserError(
            f"{row_words(start + int(bad[0]), rows.ids)} has scores that cannot be {rows.info.kind}",
            file=path,
            expected="finite numbers from 0 to 1" if unit else "finite numbers",
            fix="null scores mark a clip that could not be scored; a model that gives NaN has diverged",
        )


def is_sound(block: NDArray[np.float32], *, unit: bool = False) -> bool:
    """Whether all of ``block`` is finite (``unit``: from 0 to 1), at the speed of memory; False where it may not be."""
    if not block.size:
        return True
    if unit:
        return bool(block.min() >= 0 and block.max() <= _ONE)  # not for NaN
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(block, axis=None)))


def check_rows(columns: dict[str, pa.Array], info: ScoreInfo, path: str | Path) -> None:
    """Raise a UserError for null or doubled ids, null sources, and labels that the classes do not have."""
    ids, labels = columns["ids"], columns["labels"]
    for name in ("ids", "source"):
        if columns[name].null_count:
            row = int(np.flatnonzero(columns[name].is_null().to_numpy(zero_copy_only=False))[0])
            raise UserError(f"row {row + 1} has no {FIELDS[name]}", file=path)
    if not all_differ(ids):
        codes = ids.dictionary_encode()
        _, first, count = np.unique(codes.indices.to_numpy(), return_index=True, return_counts=True)
        row = int(first[count > 1].min())
        again = np.flatnonzero(codes.indices.to_numpy() == codes.indices[row].as_py())[1]
        raise UserError(f"id {ids[row].as_py()!r} occurs twice: rows {row + 1} and {again + 1}", file=path)
    flat = labels.flatten()
    lengths = pc.list_value_length(labels).fill_null(0).to_numpy(zero_copy_only=False)
    values = flat.fill_null(-1).to_numpy()
    wrong = (values < 0) | (values >= len(info.classes))
    if wrong.any():
        row = int(np.searchsorted(np.cumsum(lengths), int(np.flatnonzero(wrong)[0]), side="right"))
        raise UserError(
            f"{row_words(row, ids)} has labels {labels[row].as_py()}", file=path, expected=f"0..{len(info.classes) - 1}"
        )
    if info.task == "single-label" and (lengths > 1).any():
        row = int(np.flatnonzero(lengths > 1)[0])
        raise UserError(f"{row_words(row, ids)} has {lengths[row]} labels", file=path, expected="one: single-label")


def all_differ(ids: pa.Array) -> bool:
    """Whether no id occurs twice; there are no nulls. Ids in ascending order, which are common, take no table."""
    ascending = pc.all(pc.less(ids[:-1], ids[1:])).as_py() if len(ids) > 1 else True
    return ascending is True or pc.count_distinct(ids).as_py() == len(ids)


def row_words(row: int, ids: Any) -> str:
    """How a message names a row, counted from 0 here and from 1 there."""
    name = ids[row].as_py() if isinstance(ids, pa.Array) else ids[row]
    return f"row {row + 1} ({name!r})"
