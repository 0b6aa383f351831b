"""Weights of members, searched for the challenge's own metric.

The metric is piecewise constant in the weights, so there is no gradient to follow: weights are changed one member at
a time, in steps that shrink, and a change is kept when the metric rises (coordinate ascent). It starts from equal
weights, and once more from the best of the single members and some random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Examples, Learned, Matrix, Options
from tinkit.fusion.ways.mean import equal_weights
from tinkit.fusion.ways.spread import spreads
from tinkit.metrics import METRICS

Measure = Callable[[Matrix], float]

_STEPS = (0.5, 0.2, 0.1, 0.05, 0.02)  # of the sum of the weights
_SWEEPS = 3  # over all members, at each step
_LEAST_GAIN = 1e-5  # a thousandth of a point: below this a change is noise, and another sweep not worth its time


def fit_weights(examples: Examples, options: Options) -> Learned:
    """The ``weights`` (M,) that :func:`search_weights` finds for the metric of ``options``.

    It searches among members that are divided by their spread, so that no member's scale decides how far a step goes.
    """
    measure = METRICS[options.metric].on(examples.labels)
    scale = spreads(examples.scores)
    alike = [own / np.float32(spread) for own, spread in zip(examples.scores, scale, strict=True)]
    weights = search_weights(alike, measure, seed=options.seed) / scale
    return {"weights": weights / weights.sum()}


def search_weights(scores: Sequence[Matrix], measure: Measure, *, seed: int = 0) -> NDArray[np.float64]:
    """Weights (M,), none negative, summing to 1, that ``measure`` of the weighted sum (N, C) likes best."""
    count = len(scores)
    equal = equal_weights(count)
    if count == 1:
        return equal
    random = np.random.default_rng(seed)
    others = [*np.eye(count), *random.dirichlet(np.ones(count), size=min(2 * count, 24))]
    other = max(others, key=lambda weights: measure(_mean(scores, weights)))
    best, value = _ascend(scores, measure, equal)
    second, second_value = _ascend(scores, measure, other)
    return second if second_value > value + _LEAST_GAIN else best


def _ascend(
    scores: Sequence[Matrix], measure: Measure, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    weights = start.copy()
    value = measure(_mean(scores, weights))
    for step in _STEPS:
        total = _mean(scores, weights)
        for _ in range(_SWEEPS):
            before = value
            for member, own in enumerate(scores):
                for change in (step, -min(step, weights[member])):
                    # No metric sees a common factor, so the sum need not be kept at 1 on the way.
                    if change == 0 or weights.sum() + change <= 0:
                        continue
                    trial = total + np.float32(change) * own
                    if (found := measure(trial)) > value + _LEAST_GAIN:
                        value, total = found, trial
                        weights[member] = max(0.0, weights[member] + change)
                        break
            if value == before:
                break
        weights /= weights.sum()
    return weights, value


def _mean(scores: Sequence[Matrix], weights: NDArray[np.float64]) -> Matrix:
    total = np.zeros(scores[0].shape, np.float32)
    for own, weight in zip(scores, weights, strict=True):
        if weight:
            total += np.float32(weight) * own
    return total
