"""The numbers that are written, and where the writing of them makes scores equal that were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinkit.scores import Kind, ScoreTable, to_kind
from tinkit.scores.kinds import squash

Values = NDArray[np.float64] | NDArray[np.float32]
CHUNK = 2048  # rows at a time: a few megabytes at several hundred classes


def in_chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """``rows``, at most CHUNK at a time."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def scores_as(table: ScoreTable, rows: NDArray[np.int64], kind: Kind) -> Values:
    """The scores of ``rows``, all valid, as ``kind``, (n, C); what rounding put above 1 is cut off.

    Float32, but probabilities of logits are float64: in float32, every logit above 17 has the probability 1.
    """
    scores = table.scores[rows]
    if kind == "probabilities" and table.info.kind == "logits":
        return squash(scores.astype(np.float64), table.info.task)
    part = replace(
        table,
        ids=[""] * len(rows),
        scores=scores,
        valid=np.ones(len(rows), bool),
        labels=[None] * len(rows),
        source=[""] * len(rows),
    )
    scores = to_kind(part, kind).scores
    return scores if kind == "logits" else np.minimum(scores, np.float32(1))


def rows_made_equal(scores: NDArray[np.float32], written: Values, precision: int) -> int:
    """In how many rows two different ``scores`` (n, C) have the same number in the file.

    ``written`` (n, C) are what the scores became, in the same order, before ``precision`` significant digits of them
    are printed.
    """
    order = np.argsort(scores, axis=1)
    have = np.take_along_axis(scores, order, axis=1)
    become = np.take_along_axis(written, order, axis=1).astype(np.float64)
    low, high = become[:, :-1], become[:, 1:]
    # Only neighbours can be made equal, and only those within a step of the last digit have to be printed to see it.
    near = np.abs(high - low) <= 10.0 ** (1 - precision) * np.maximum(np.abs(low), np.abs(high))
    differ = have[:, 1:] != have[:, :-1]
    lost = differ & (high <= low)
    for row, column in np.argwhere(near & differ & ~lost).tolist():
        lost[row, column] = f"{low[row, column]:.{precision}g}" == f"{high[row, column]:.{precision}g}"
    return int(lost.any(axis=1).sum())
