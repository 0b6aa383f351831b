"""Weights of members, searched on a labelled split for the challenge's own metric.

The metric is piecewise constant in the weights, so there is no gradient to follow: weights are changed one member at
a time, in steps that shrink, and a change is kept when the metric rises (coordinate ascent). It starts from equal
weights, and once more from the best of the single members and some random weights. Only weights that measure better
than the equal ones, on the clips searched, are ever returned in their place (a fusion asks that of the whole split).

What is measured on the clips that the weights were fitted on is optimistic. Beside it stands a cross-validated
estimate: the split is cut in parts that share no source video, and each part is scored with weights fitted on the
others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.fusion.mean import equal_weights
from tinkit.fusion.members import Aligned
from tinkit.metrics import MetricName, Metrics, check_metric, class_map, evaluate, micro_map, sample_map, top_k_accuracy
from tinkit.scores import mark_labels

Matrix = NDArray[np.float32]
Measure = Callable[[Matrix], float]

SEARCH_ROWS = 20_000  # clips that weights are fitted on; from more, so many are drawn
_STEPS = (0.5, 0.2, 0.1, 0.05, 0.02)  # of the sum of the weights
_SWEEPS = 3  # over all members, at each step
_LEAST_GAIN = 1e-5  # a thousandth of a point: below this a change is noise, and another sweep not worth its time


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights (M,) that sum to 1, fitted on ``rows`` clips for ``metric``.

    ``cross_validated`` are the metrics of all clips scored with the weights of the parts they were not in
    (``part_weights`` (parts, M)); ``equal`` those of equal weights on the same clips, to compare them with.
    """

    metric: MetricName
    weights: NDArray[np.float64]
    rows: int
    cross_validated: Metrics
    equal: Metrics
    part_weights: NDArray[np.float64]


def fit(aligned: Aligned, metric: MetricName, *, parts: int = 5, seed: int = 0) -> Fitted:
    """Fit weights on the labelled clips that every member has scores for, and estimate what they are worth.

    Deterministic in ``seed``. Raises :class:`~tinkit.errors.UserError` when a member was trained on this split, when
    no clip is labelled, and when there are fewer sources than ``parts``.
    """
    refuse_trained_on(aligned)
    check_metric(metric, aligned.infos[0].task)
    labels = mark_labels(aligned.labels, len(aligned.infos[0].classes)).view(bool)
    rows = np.flatnonzero(aligned.valid.all(axis=0) & labels.any(axis=1))
    split = aligned.infos[0].split
    if not rows.size:
        raise UserError(f"no clip of {split!r} has both labels and scores of all members: nothing to fit on")
    held_out = np.empty((rows.size, labels.shape[1]), np.float32)
    alike = np.empty_like(held_out)
    part_weights = []
    for train, test in _parts([aligned.source[int(row)] for row in rows], parts, split):
        weights = _fit_rows(aligned, labels, rows[train], metric, seed)
        own = [scores[rows[test]] for scores in aligned.scores]
        held_out[test] = _mean(own, weights)
        alike[test] = _mean(own, equal_weights(len(own)))
        part_weights.append(weights)
    return Fitted(
        metric=metric,
        weights=_fit_rows(aligned, labels, rows, metric, seed),
        rows=min(rows.size, SEARCH_ROWS),
        cross_validated=evaluate(held_out, labels[rows], aligned.infos[0].task),
        equal=evaluate(alike, labels[rows], aligned.infos[0].task),
        part_weights=np.stack(part_weights),
    )


def refuse_trained_on(aligned: Aligned) -> None:
    """Raise a UserError when any member was trained on the split it is to be fitted or judged on."""
    for name, info in zip(aligned.names, aligned.infos, strict=True):
        if info.split in info.trained_on:
            raise UserError(
                f"member {name!r} was trained on {info.split!r}: on it, it looks better than it is",
                fix="fit on a split that no member has seen (--fit), or use a mean with --fit none",
            )


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


def _fit_rows(
    aligned: Aligned, labels: NDArray[np.bool_], rows: NDArray[np.int64], metric: MetricName, seed: int
) -> NDArray[np.float64]:
    if rows.size > SEARCH_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SEARCH_ROWS, replace=False))
    return search_weights([scores[rows] for scores in aligned.scores], _measure(metric, labels[rows]), seed=seed)


def _measure(metric: MetricName, labels: NDArray[np.bool_]) -> Measure:
    match metric:
        case "sample_map":
            return lambda scores: sample_map(scores, labels)
        case "class_map":
            return lambda scores: class_map(scores, labels)
        case "micro_map":
            return lambda scores: micro_map(scores, labels)
        case "top1" | "top5":
            classes = labels.argmax(axis=1)
            return lambda scores: top_k_accuracy(scores, classes, int(metric[3:]))


def _mean(scores: Sequence[Matrix], weights: NDArray[np.float64]) -> Matrix:
    total = np.zeros(scores[0].shape, np.float32)
    for own, weight in zip(scores, weights, strict=True):
        if weight:
            total += np.float32(weight) * own
    return total


def _parts(sources: Sequence[str], parts: int, split: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    from sklearn.model_selection import GroupKFold

    codes = np.unique(np.asarray(sources), return_inverse=True)[1]
    if codes.max() + 1 < parts:
        raise UserError(
            f"the labelled clips of {split!r} come from {codes.max() + 1} sources: they cannot be cut in {parts} parts",
            fix="say fewer --parts (at least 2), or use a mean, which needs no fitting",
        )
    yield from GroupKFold(n_splits=parts).split(codes, groups=codes)
