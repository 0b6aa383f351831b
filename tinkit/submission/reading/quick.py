"""Blocks of rows parsed by Arrow, all at once. What is not certainly right is left to the reader of single lines.

So a file that is as it should be is read at Arrow's pace, and one that is not is judged line by line, in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from tinkit.submission.reading.parts import BLOCK, Block
from tinkit.submission.spec import Challenge


@dataclass(frozen=True)
class QuickRows:
    """The rows of a block, the first of which is line ``first``.

    ``values`` (n, C) float64 where every class's score is there, else ``labels`` (n, width) int64, by rank.
    """

    first: int
    names: list[str]
    values: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None


def quick_rows(
    block: Block, challenge: Challenge, width: int, index_of: Callable[[str], int | None]
) -> QuickRows | None:
    """The rows of ``block``, each of a name and ``width`` fields; None unless all are as the challenge wants them.

    ``index_of`` gives the class that a label stands for. Names are not looked at.
    """
    if challenge.rows not in ("scores", "ranked"):
        return None
    data = block.data.replace(b"\r\n", b"\n") if b"\r" in block.data else block.data
    quotes = _quotes(data, block.ends, challenge, width)
    if quotes is None or b"\r" in data or b"\0" in data:
        return None
    scores = challenge.rows == "scores"
    kind = pa.float64() if scores else pa.dictionary(pa.int32(), pa.string())
    columns = [str(place) for place in range(width + 1)]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=2 * BLOCK, column_names=columns),
            csv.ParseOptions(
                delimiter=challenge.delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=False,
                ignore_empty_lines=False,
            ),
            csv.ConvertOptions(
                column_types={name: pa.string() if name == "0" else kind for name in columns},
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException:  # the reader of lines says which, and why
        return None
    if len(table) != block.ends + (not data.endswith(b"\n")):
        return None
    names = table.column(0).to_pylist()
    if not scores:
        labels = _labels(table, index_of)
        return None if labels is None else QuickRows(block.first, names, labels=labels)
    values = np.empty((len(table), width))
    for place in range(width):
        values[:, place] = table.column(place + 1).to_numpy()
    return QuickRows(block.first, names, values=values) if _possible(values, challenge) else None


def _quotes(data: bytes, rows: int, challenge: Challenge, width: int) -> bool | None:
    """Whether quotation marks part fields; None where they stand elsewhere than at the ends of fields."""
    if challenge.quoting == "none" or b'"' not in data:
        return False
    count, mark = data.count(b'"'), challenge.delimiter.encode()
    # As many begin a line, or all fields, as end a field: none stands within one, and nothing beside one.
    starts = data.count(b'\n"') + data.startswith(b'"')
    if challenge.quoting == "all":
        between = data.count(b'"' + mark + b'"')
        whole = (starts, between, data.count(b'"\n'), count) == (rows, width * rows, rows, 2 * (width + 1) * rows)
        return True if whole else None
    return True if starts == data.count(b'"' + mark) and count == 2 * starts else None


def _possible(values: NDArray[np.float64], challenge: Challenge) -> bool:
    """Whether the numbers may stand in the file."""
    if not values.size:
        return False
    low, high = float(values.min()), float(values.max())  # NaN, of any of them, fails every comparison
    if challenge.values == "probabilities":
        return low >= 0 and high <= 1
    return (challenge.infinite or low > -np.inf) and high < np.inf


def _labels(table: pa.Table, index_of: Callable[[str], int | None]) -> NDArray[np.int64] | None:
    """The class of each field behind the name; None where one is none, or a row lists one twice."""
    found = np.empty((len(table), table.num_columns - 1), np.int64)
    for place in range(found.shape[1]):
        done = 0
        for chunk in table.column(place + 1).chunks:
            classes = [index_of(text) for text in chunk.dictionary.to_pylist()]
            if None in classes:
                return None
            found[done : done + len(chunk), place] = np.array(classes, np.int64)[chunk.indices.to_numpy()]
            done += len(chunk)
    ranked = np.sort(found, axis=1)
    return None if (ranked[:, 1:] == ranked[:, :-1]).any() else found
