"""Means of the members' probabilities: a power mean of them, and the mean after each member's own temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Examples, Learned, Matrix, Options
from tinkit.fusion.ways.mean import equal_weights, weighted_mean
from tinkit.fusion.ways.spread import spreads
from tinkit.metrics import Task
from tinkit.scores.kinds import CLIP, squash

TEMPERATURE_CLIPS = 2000  # that temperatures are fitted on: two numbers a member need no more

Vector = NDArray[np.float64]


def start_power(options: Options) -> Learned:
    """Equal ``weights`` and the ``power`` (1,) that the ensemble names."""
    return {"weights": equal_weights(options.members), "power": np.array([float(options.keys.get("power", 0.5))])}


def power_mean(scores: Sequence[Matrix], valid: NDArray[np.bool_], learned: Learned) -> Vector:
    """The power mean ``(sum of w p^r)^(1/r)`` of probabilities (Hardy, Littlewood and Polya 1934, chapter 2).

    r = 1 is the arithmetic, r near 0 the geometric mean (exactly so at 0), below the harmonic one at -1; the lower, the
    more one member's doubt counts. Probabilities are kept at least 1e-6. Members that miss a clip as in
    :func:`~tinkit.fusion.ways.mean.weighted_mean`.
    """
    power = float(learned["power"][0])
    kept = [np.maximum(own.astype(np.float64), CLIP) for own in scores]
    if power == 0:
        return np.exp(weighted_mean([np.log(own) for own in kept], valid, learned))
    powers = weighted_mean([own**power for own in kept], valid, learned)
    present = valid.any(axis=0)
    powers[~present] = 1
    return powers ** (1 / power)


def start_temperatures(options: Options) -> Learned:
    """No temperature and no offset."""
    return {
        "weights": equal_weights(options.members),
        "temperature": np.ones(options.members),
        "offset": np.zeros(options.members),
        "single_label": np.array([float(options.task == "single-label")]),
    }


def fit_temperatures(examples: Examples, options: Options) -> Learned:
    """Each member's ``temperature`` (M,) and, for multi-label, ``offset`` (M,), by its own cross-entropy.

    Guo et al. 2017, for sigmoids with an offset as Platt 1999. On the first :data:`TEMPERATURE_CLIPS` of the examples
    in an order drawn from ``options.seed``.
    """
    from scipy.optimize import minimize

    order = np.random.default_rng(options.seed).permutation(len(examples.labels))[:TEMPERATURE_CLIPS]
    labels = examples.labels[order]
    learned = {name: np.array(values) for name, values in start_temperatures(options).items()}
    for number, (own, spread) in enumerate(zip(examples.scores, spreads(examples.scores), strict=True)):
        values = own[order] / np.float32(spread)

        def objective(at: Vector, values: Matrix = values) -> tuple[float, Vector]:
            return _calibration(values, labels, at, options.task)

        free = [(-6.0, 6.0), (-60.0, 60.0) if options.task == "multi-label" else (0.0, 0.0)]
        found = minimize(objective, np.zeros(2), jac=True, method="L-BFGS-B", bounds=free)
        slope = float(np.exp(found.x[0])) / spread
        learned["temperature"][number] = 1 / slope
        learned["offset"][number] = found.x[1]
    return learned


def mean_at_temperatures(scores: Sequence[Matrix], valid: NDArray[np.bool_], learned: Learned) -> Vector:
    """The mean of ``sigmoid(z / t + a)`` or ``softmax(z / t)`` of the members' logits ``z``."""
    task: Task = "single-label" if learned["single_label"][0] else "multi-label"
    calibrated = []
    for own, has, heat, offset in zip(scores, valid, learned["temperature"], learned["offset"], strict=True):
        logits = np.where(has[:, None], own, 0.0) / heat + offset
        calibrated.append(squash(logits, task))
    return weighted_mean(calibrated, valid, learned)


def _calibration(values: Matrix, labels: NDArray[np.bool_], at: Vector, task: Task) -> tuple[float, Vector]:
    """The mean loss a clip of ``exp(at[0]) * values + at[1]`` and its gradient."""
    slope = np.float32(np.exp(at[0]))
    logits = slope * values + np.float32(at[1])
    if task == "single-label":
        logits -= logits.max(axis=1, keepdims=True)
        whole = np.log(np.exp(logits).sum(axis=1))
        loss = float((whole - logits[labels]).sum(dtype=np.float64)) if labels.any() else 0.0
    else:
        loss = float(np.logaddexp(np.float32(0), np.where(labels, -logits, logits)).sum(dtype=np.float64))
    error = squash(logits, task) - labels
    by_slope = float((error * values).sum(dtype=np.float64)) * float(slope)
    return loss / len(values), np.array([by_slope, float(error.sum(dtype=np.float64))]) / len(values)
