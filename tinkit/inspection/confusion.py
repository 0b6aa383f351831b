"""Which class stood in the way of which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20  # score values looked at at a time


def confusion_counts(scores: NDArray[np.floating], marks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts (C, C): ``[c, r]`` clips of class c whose best wrong class r scores above c, ``[c, c]`` those without one.

    ``scores`` (N, C) finite, ``marks`` (N, C) of 0 and 1. A clip counts once for each of its classes; the best wrong
    class is the highest among those that the clip does not have, and at equal scores the class with the lower index
    ranks first. With one label a clip this is the confusion matrix of the likeliest class.
    """
    width = scores.shape[1]
    counts = np.zeros((width, width), np.int64)
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, len(scores), step):
        block, own = scores[start : start + step], marks[start : start + step].astype(bool)
        wrong = np.where(own, -np.inf, block)
        rival = wrong.argmax(axis=1)
        highest = wrong[np.arange(len(block)), rival]
        rows, classes = np.nonzero(own)
        value = block[rows, classes]
        beaten = (highest[rows] > value) | ((highest[rows] == value) & (rival[rows] < classes))
        # A clip that has every class has no wrong one, and its highest is minus infinity.
        np.add.at(counts, (classes, np.where(beaten, rival[rows], classes)), 1)
    return counts


def strongest_pairs(counts: NDArray[np.int64], most: int) -> list[tuple[int, int, int]]:
    """The ``most`` largest (class, rival, clips) off the diagonal, the largest first; ties by index."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    flat = np.argsort(-wrong, axis=None, kind="stable")[:most]
    found = zip(*np.unravel_index(flat, wrong.shape), strict=True)
    return [(int(row), int(column), int(wrong[row, column])) for row, column in found if wrong[row, column]]
