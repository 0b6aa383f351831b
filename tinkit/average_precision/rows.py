"""Average precision of the rows of a score matrix by sorting them, all rows at once.

Average precision is the non-interpolated one, ``AP = sum_n (R_n - R_{n-1}) P_n`` over the distinct thresholds of a
ranking (Zhu 2004; what ``sklearn.metrics.average_precision_score`` computes). Grouped by positives it reads: the mean,
over the positives, of *positives that score at least as much* over *all that score at least as much*. So only the
positives are looked up, in rows that were sorted once, and equal scores share one threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]


def row_ap(scores: Matrix, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of each row of ``scores`` (n, C), without NaN, (n,) float64; NaN where nothing is ``positive``.

    ``positive`` (n, C) of bool. The temporaries are several times as large as the block.
    """
    rows, width = scores.shape
    count = np.count_nonzero(positive, axis=1)
    if not count.any():
        return np.full(rows, np.nan)
    row = np.repeat(np.arange(rows), count)
    position = np.arange(row.size)
    end = np.cumsum(count)
    place = position - (end - count)[row]  # of a positive among its row's
    # The positives' scores, rising in each row: NaN fills the shorter rows, and sorts last.
    padded = np.full((rows, count.max()), np.nan, scores.dtype)
    padded[row, place] = scores.reshape(-1)[np.flatnonzero(positive)]
    padded.sort(axis=1)
    wanted = padded[row, place]
    all_above = width - _count_below(np.sort(scores, axis=1), row, wanted)

    begins = np.empty(wanted.size, bool)
    begins[0] = True
    begins[1:] = (wanted[1:] != wanted[:-1]) | (row[1:] != row[:-1])
    threshold = np.maximum.accumulate(np.where(begins, position, 0))  # where the run of equal scores begins
    precision = (end[row] - threshold) / all_above
    return np.divide(np.bincount(row, precision, rows), count, out=np.full(rows, np.nan), where=count > 0)


def _count_below(ranked: Matrix, row: NDArray[np.int64], wanted: Matrix) -> NDArray[np.int64]:
    """For each (row, wanted) the number of lesser values in that row of ``ranked`` (rising): one search for all."""
    width = ranked.shape[1]
    flat, base = ranked.reshape(-1), row * width
    low = np.zeros(wanted.size, np.int64)
    high = np.full(wanted.size, width, np.int64)
    for _ in range(width.bit_length()):
        middle = (low + high) >> 1
        # Where the search is over, low == high and may be past the row's end; the clipped reading changes nothing.
        less = (flat[base + np.minimum(middle, width - 1)] < wanted) & (low < high)
        low = np.where(less, middle + 1, low)
        high = np.where(less, high, middle)
    return low
