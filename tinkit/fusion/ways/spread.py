"""How far a member's scores spread: what a way divides by, so that no member's scale decides its part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Matrix

_BLOCK = 1 << 16  # score values looked at a time: they fit the processor's cache
_CLIPS = 5_000  # looked at, at most; of more, every so many: a spread errs by 1 in 1,000 then, for 100 classes
_FLAT = 1e-12  # of a member's largest score: what spreads less says nothing of the classes


def spread_of(scores: Matrix) -> float:
    """The standard deviation of ``scores`` (n, C) around each clip's mean; rows that are not finite are left out.

    1 for scores that are all alike within their clips.
    """
    total, count, largest = 0.0, 0, 0.0
    step = max(1, _BLOCK // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        block = scores[start : start + step].astype(np.float64)
        block = block[np.isfinite(block).all(axis=1)]
        if block.size:
            largest = max(largest, float(np.abs(block).max()))
            block -= block.mean(axis=1, keepdims=True)
            total += float(np.einsum("ij,ij->", block, block))
            count += block.size
    spread = (total / count) ** 0.5 if count else 0.0
    return spread if spread > _FLAT * largest else 1.0


def sampled_spread(scores: Matrix) -> float:
    """:func:`spread_of` clips that lie evenly over the split."""
    return spread_of(scores[:: max(1, -(-len(scores) // _CLIPS))])


def spreads(scores: Sequence[Matrix]) -> NDArray[np.float64]:
    """:func:`spread_of` each of M members, (M,)."""
    return np.array([spread_of(own) for own in scores])
