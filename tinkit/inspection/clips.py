"""The clips that were scored most wrongly and most rightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import sample_ap

_BLOCK = 1 << 20
_TOP = 5  # classes named beside a clip


@dataclass(frozen=True)
class ClipResult:
    """One clip.

    ``value`` is the average precision of its ranking (for one label: 1 / its rank), ``margin`` the lowest score of its
    classes less the highest of the others. ``top`` are the highest classes with their scores.
    """

    row: int
    id: str
    labels: tuple[str, ...]
    value: float
    margin: float
    top: tuple[tuple[str, float], ...]


def order_of_clips(
    scores: NDArray[np.floating], marks: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The rows that have labels and lack some, most wrongly scored first; and ``value`` and ``margin`` of all, (N,).

    By the average precision of the row's ranking; equal ones by margin, then by row. Rows without a label, and those
    that have every class, can be neither right nor wrong.
    """
    margin = np.full(len(scores), np.nan)
    step = max(1, _BLOCK // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        block, own = scores[start : start + step], marks[start : start + step].astype(bool)
        lowest, highest = np.where(own, block, np.inf).min(axis=1), np.where(own, -np.inf, block).max(axis=1)
        margin[start : start + step] = np.where(own.any(axis=1) & ~own.all(axis=1), lowest - highest, np.nan)
    value = sample_ap(scores, marks)
    rows = np.flatnonzero(~np.isnan(margin))
    return rows[np.lexsort((rows, margin[rows], value[rows]))], value, margin


def clip_results(
    ids: Sequence[str],
    scores: NDArray[np.floating],
    marks: NDArray[np.uint8],
    names: Sequence[str],
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[ClipResult]:
    """A result a row of ``scores`` (n, C); ``found`` are value and margin of these rows, (n,) each."""
    value, margin = found
    results = []
    for row, name in enumerate(ids):
        best = np.argsort(-scores[row], kind="stable")[:_TOP]
        results.append(
            ClipResult(
                row=row,
                id=name,
                labels=tuple(names[index] for index in np.flatnonzero(marks[row]).tolist()),
                value=float(value[row]),
                margin=float(margin[row]),
                top=tuple((names[index], float(scores[row, index])) for index in best.tolist()),
            )
        )
    return results
