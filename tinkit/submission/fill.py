"""What a clip without scores gets, where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UsageError, UserError
from tinkit.scores import Kind, ScoreTable
from tinkit.scores.kinds import rows_as
from tinkit.scores.table import in_chunks
from tinkit.submission.matching import some_of

Fill = Literal["prior", "uniform"]


def check_filled(filled: Sequence[str], total: int, fill: Fill | None, most: int, path: Path | None) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless the clips ``filled`` of ``total`` may be filled.

    ``most`` is how many may be, with ``fill``; UsageError for ``most`` without it. ``path`` is the score file's.
    """
    if most and fill is None:
        raise UsageError("--max without --fill", fix="say `--fill prior` or `--fill uniform`")
    if not filled or (fill is not None and len(filled) <= most):
        if filled and len(filled) == total:
            raise UserError("no clip has scores at all", file=path)
        return
    raise UserError(
        f"{len(filled)} clips have no scores (they could not be decoded, or have no sound): {some_of(filled)}",
        file=path,
        expected="scores for every test clip" if fill is None else f"at most {most} (--max {most})",
        fix=f"repair the videos and test again, or say `--fill {fill or 'prior'} --max {len(filled)}`",
    )


def fill_row(table: ScoreTable, rows: NDArray[np.int64], kind: Kind, fill: Fill) -> NDArray[np.float64]:
    """What a clip without scores gets, (C,) float64 of ``kind``: the mean of the others, or no opinion.

    ``prior`` is the mean of the valid rows' probabilities (of ranks, where the scores are ranks). Where logits are
    written it is turned back: log-odds for several labels, logarithms for one.
    """
    count, multi_label = len(table.info.classes), table.info.task == "multi-label"
    if fill == "uniform":
        mean = np.full(count, 0.5 if multi_label or table.info.kind == "ranks" else 1 / count)
    else:
        meant: Kind = "ranks" if table.info.kind == "ranks" else "probabilities"
        valid = rows[np.asarray(table.valid)[rows]]
        total = np.zeros(count)
        for chunk in in_chunks(valid):
            total += rows_as(table, chunk, meant).sum(axis=0, dtype=np.float64)
        mean = total / len(valid)
    if kind != "logits":
        return mean
    mean = np.clip(mean, 1e-12, 1 - 1e-12)
    return np.log(mean / (1 - mean)) if multi_label else np.log(mean)
