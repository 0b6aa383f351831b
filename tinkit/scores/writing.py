"""Writing a score file, from a table or block by block: in one pass, whatever its size."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tinkit.files.arrow import Filling, open_arrow, sealed_writer
from tinkit.files.atomic import atomic_path
from tinkit.scores.checks import check_block, check_rows
from tinkit.scores.file import scores_schema, scores_type
from tinkit.scores.metadata import check_info, info_text
from tinkit.scores.table import COLUMNS, Rows, ScoreTable, as_arrow

_BLOCK = 1 << 17  # score values written at a time


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The scores of ``rows``, checked on their way into the file."""

    rows: Rows
    blocks: Iterable[NDArray[np.float32]]
    path: Path

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        start = 0
        for block in self.blocks:
            valid = np.asarray(self.rows.valid[start : start + len(block)], bool)
            check_block(self.rows, block, valid, start, self.path)
            if not valid.all():
                block = np.where(valid[:, None], block, np.float32("nan"))
            yield block
            start += len(block)


def write_scores(path: str | Path, table: ScoreTable) -> str:
    """Write ``table`` to ``path`` atomically; returns what names the file's content, its ``digest``.

    Raises :class:`~tinkit.errors.UserError`, naming the clip, for a doubled id, a label outside the classes, several
    labels in a single-label task, and valid scores that are not finite or, as probabilities or ranks, not in 0..1.
    """
    step = max(1, _BLOCK // max(1, len(table.info.classes)))
    scores = np.asarray(table.scores, np.float32)
    return write_blocks(path, table, (scores[start : start + step] for start in range(0, len(table), step)))


def write_blocks(path: str | Path, rows: Rows, blocks: Iterable[NDArray[np.float32]]) -> str:
    """Write ``rows`` with the scores that ``blocks`` are, (n, C) float32 each, N together.

    They are asked for one after the other while the file is written. Returns and raises as :func:`write_scores`;
    nothing is put in place if ``blocks`` raises.
    """
    path, info, width = Path(path), rows.info, len(rows.info.classes)
    check_info(info, path)
    columns = {name: as_arrow(getattr(rows, name), kind) for name, kind in COLUMNS.items()}
    check_rows(columns, info, path)
    valid = np.asarray(rows.valid, bool)
    schema = scores_schema(width).with_metadata({"tinkit": info_text(info)})
    size = 4 * len(valid) * width
    # Pages that nobody touches take no memory.
    zeros = pa.py_buffer(mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)).slice(0, size)
    values = pa.Array.from_buffers(pa.float32(), len(valid) * width, [None, zeros])
    lists = pa.FixedSizeListArray.from_arrays(
        values, type=scores_type(width), mask=None if valid.all() else pa.array(~valid)
    )
    batch = pa.record_batch([columns["ids"], lists, columns["labels"], columns["source"]], schema=schema)
    filling = Filling(zeros, _Blocks(rows, blocks, path)) if size else None
    with atomic_path(path) as temporary:
        with sealed_writer(temporary, schema, filling) as writer:
            writer.write_batch(batch)
        return open_arrow(temporary).digest or ""
