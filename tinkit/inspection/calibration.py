"""Whether probabilities are frequencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import Task

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Reliability in ``BINS`` equal bins of predicted probability.

    Arrays of (BINS,): how many predictions fell into a bin, their mean probability, and the share that was true (NaN in
    an empty bin). ``error`` is the expected calibration error: the mean over predictions of the bin's |share - mean|
    (Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3).
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, from 0 to 1; NaN where nothing was predicted."""
        if not self.counts.sum():
            return float("nan")
        full = self.counts > 0
        gap = np.abs(self.observed[full] - self.predicted[full])
        return float(np.average(gap, weights=self.counts[full]))


def calibration(blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.uint8]]], task: Task) -> Calibration:
    """Calibration over ``blocks`` of probabilities (n, C) and marks (n, C) of 0 and 1.

    Single-label: a prediction a clip, its likeliest class. Multi-label: a prediction a (clip, class) pair.
    """
    counts, summed, true = np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS)
    for probabilities, marks in blocks:
        if task == "single-label":
            best = probabilities.argmax(axis=1)
            rows = np.arange(len(probabilities))
            value, right = probabilities[rows, best], marks[rows, best]
        else:
            value, right = probabilities.reshape(-1), marks.reshape(-1)
        place = np.minimum((value * BINS).astype(np.int64), BINS - 1)
        counts += np.bincount(place, minlength=BINS)
        summed += np.bincount(place, weights=value, minlength=BINS)
        true += np.bincount(place, weights=right, minlength=BINS)
    full = counts > 0
    empty = np.full(BINS, np.nan)
    return Calibration(
        counts,
        np.divide(summed, counts, out=empty.copy(), where=full),
        np.divide(true, counts, out=empty.copy(), where=full),
    )
