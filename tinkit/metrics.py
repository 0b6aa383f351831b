"""Metrics of a score matrix, vectorised over rows or columns and bounded in memory.

Values lie between 0 and 1; a metric that has nothing to be measured on is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinkit.average_precision import compared_ap, row_ap
from tinkit.errors import UsageError
from tinkit.leaderboard import gap_at, hit_at, interpolated_map, last_without_labels, macro_f1, mean_class_accuracy

Task = Literal["multi-label", "single-label"]
MetricName = Literal["sample_map", "class_map", "micro_map", "top1", "top5"]
"""What a test reports, and what ``best`` and a fitted fusion maximise."""
LeaderboardMetric = Literal[
    MetricName, "mean_top1_top5_error", "mean_class_accuracy", "macro_f1", "gap20", "interpolated_map", "charades_map",
    "hit1", "hit3",
]  # fmt: skip
"""What a leaderboard may rank entries by; some of it only there."""
Matrix = NDArray[Any]

_BLOCK = 1 << 20  # elements sorted at a time by rows or columns: the temporaries stay within a core's cache
_FEW = 5  # classes, all of which are among the five best
_FLAT_BLOCK = 1 << 24  # elements sorted at a time for one ranking of the whole matrix


@dataclass(frozen=True)
class Metrics:
    """What was measured (``values``, by name, 0..1) and what it was measured on (``counts``).

    ``counts`` holds ``rows``, ``without_scores`` and ``without_labels`` (rows that were skipped), ``measured`` (rows
    that were not) and, for multi-label, ``classes_without_positive`` (classes that ``class_map`` skipped).
    """

    task: Task
    values: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True)
class Metric:
    """One row of the table of metrics.

    ``on(labels)``, of labels (N, C) of 0 and 1, gives the function that measures scores (N, C) on them: what depends
    on the labels alone is done once. ``places`` is how many labels of a ranked list it looks at. ``task``: "any" where
    it measures either.
    """

    task: Task | Literal["any"]
    on: Callable[[Matrix], Callable[[Matrix], float]]
    places: int = 1


def _top(k: int, labels: Matrix) -> Callable[[Matrix], float]:
    return partial(top_k_accuracy, classes=labels.argmax(axis=1), k=k)


def _mean_error(labels: Matrix) -> Callable[[Matrix], float]:
    top1, top5 = _top(1, labels), _top(5, labels)
    return lambda scores: 1 - (top1(scores) + top5(scores)) / 2


def _on_marks(measure: Callable[[Matrix, NDArray[np.bool_]], float], labels: Matrix) -> Callable[[Matrix], float]:
    """A measure of :mod:`tinkit.leaderboard`, on checked arrays."""
    return lambda scores: measure(*_checked(scores, labels))


def _charades_map(scores: Matrix, labels: NDArray[np.bool_]) -> float:
    return _nanmean(class_ap(last_without_labels(scores, labels), labels))


METRICS: Mapping[LeaderboardMetric, Metric] = MappingProxyType(
    {
        "sample_map": Metric("multi-label", lambda labels: partial(sample_map, labels=labels)),
        "class_map": Metric("multi-label", lambda labels: partial(class_map, labels=labels)),
        "micro_map": Metric("multi-label", lambda labels: partial(micro_map, labels=labels)),
        "top1": Metric("single-label", partial(_top, 1)),
        "top5": Metric("single-label", partial(_top, 5), places=5),
        "mean_top1_top5_error": Metric("single-label", _mean_error, places=5),
        "mean_class_accuracy": Metric("single-label", partial(_on_marks, mean_class_accuracy)),
        "macro_f1": Metric("single-label", partial(_on_marks, macro_f1)),
        "gap20": Metric("any", partial(_on_marks, partial(gap_at, k=20)), places=20),
        "interpolated_map": Metric("any", partial(_on_marks, interpolated_map)),
        "charades_map": Metric("multi-label", partial(_on_marks, _charades_map)),
        "hit1": Metric("any", partial(_on_marks, partial(hit_at, k=1))),
        "hit3": Metric("any", partial(_on_marks, partial(hit_at, k=3)), places=3),
    }
)


def challenge_metric(task: Task) -> str:
    """The metric by which the challenges of a task rank entries: ``sample_map`` or ``top1``."""
    return "sample_map" if task == "multi-label" else "top1"


def check_metric(metric: str, task: Task, classes: int | None = None) -> MetricName:
    """``metric``, or a UsageError when it is none of ``task``, or tells nothing of so few ``classes``."""
    known = [name for name in get_args(MetricName) if METRICS[name].task == task]
    if metric == "top5" and metric in known and classes is not None and classes <= _FEW:
        raise UsageError(f"top5 of {classes} classes is always 100%", expected="top1")
    for name in known:
        if name == metric:
            return name
    raise UsageError(
        f"{metric!r} is not a metric of a {task} task",
        expected=f"one of: {', '.join(known)}",
        fix="or set data.task, if clips have one label (single-label) or may have several (multi-label)",
    )


def sample_map(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the rows that have a label of the average precision of the row's ranking of the classes.

    ``scores`` (N, C) of any real type, infinities allowed; ``labels`` (N, C) of 0 and 1. Raises ValueError for NaN
    scores (naming the row), for other labels and for shapes that differ.
    """
    return _nanmean(sample_ap(scores, labels))


def class_map(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the classes that have a positive of the average precision of the class's ranking of the rows.

    Arguments and errors as :func:`sample_map`.
    """
    return _nanmean(class_ap(scores, labels))


def micro_map(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision of one ranking of all (row, class) pairs. Arguments and errors as :func:`sample_map`."""
    values, positive = _checked(scores, labels)
    flat = np.ascontiguousarray(values).reshape(-1)
    wanted = np.sort(flat[np.flatnonzero(positive)])
    if not wanted.size:
        return float("nan")
    all_above = np.zeros(wanted.size, np.int64)
    for start in range(0, flat.size, _FLAT_BLOCK):
        block = np.sort(flat[start : start + _FLAT_BLOCK])
        all_above += block.size - np.searchsorted(block, wanted, side="left")
    positives_above = wanted.size - np.searchsorted(wanted, wanted, side="left")
    return float(np.mean(positives_above / all_above))


def sample_ap(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Average precision of every row, (N,) float64; NaN for a row without a label. See :func:`sample_map`."""
    quick = _compared(np.asarray(scores), np.asarray(labels))
    if quick is not None:
        return quick
    values, positive = _checked(scores, labels)
    rows, width = values.shape
    step = max(1, _BLOCK // max(1, width))
    result = np.full(rows, np.nan)
    for start in range(0, rows, step):
        result[start : start + step] = row_ap(values[start : start + step], positive[start : start + step])
    return result


def class_ap(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Average precision of every column, (C,) float64; NaN for a class without a positive. See :func:`class_map`."""
    values, positive = _checked(scores, labels)
    rows, width = values.shape
    at_once = max(1, _BLOCK // max(1, rows))
    # Columns are turned at least a cache line (16 float32) at a time: reading one of them reads its neighbours.
    step = max(16, at_once)
    result = np.full(width, np.nan)
    for start in range(0, width, step):
        turned = np.ascontiguousarray(values[:, start : start + step].T)
        marks = np.ascontiguousarray(positive[:, start : start + step].T)
        if (quick := compared_ap(turned, marks)) is not None:
            result[start : start + len(turned)] = quick
            continue
        for first in range(0, len(turned), at_once):
            part = slice(first, min(first + at_once, len(turned)))
            result[start + first : start + part.stop] = row_ap(turned[part], marks[part])
    return result


def top_k_accuracy(scores: ArrayLike, classes: ArrayLike, k: int = 1) -> float:
    """Share of the rows whose class is among the ``k`` highest scores.

    ``scores`` (N, C); ``classes`` (N,) integers, a negative one meaning unknown (the row is skipped). Equal scores
    rank by class index, the lower first, so that a constant row is right only by the class a file would list. A score
    of -inf, of a class that is ruled out or not listed, is never right.
    """
    values = _scores(scores)
    wanted = np.asarray(classes)
    if wanted.shape != (len(values),) or not np.issubdtype(wanted.dtype, np.integer):
        raise ValueError(f"classes must be {len(values)} integers, got {wanted.dtype} of shape {wanted.shape}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    known = np.flatnonzero(wanted >= 0)
    if not known.size:
        return float("nan")
    beyond = np.flatnonzero(wanted >= values.shape[1])
    if beyond.size:
        raise ValueError(f"row {beyond[0]} has class {wanted[beyond[0]]}, but there are {values.shape[1]} classes")
    hits = 0
    step = max(1, _BLOCK // values.shape[1])
    index = np.arange(values.shape[1])
    for start in range(0, known.size, step):
        rows = known[start : start + step]
        block, true = values[rows], wanted[rows][:, None]
        own = np.take_along_axis(block, true, axis=1)
        ahead = (block > own) | ((block == own) & (index < true))
        hits += int(np.count_nonzero((np.count_nonzero(ahead, axis=1) < k) & (own[:, 0] > -np.inf)))
    return hits / known.size


def evaluate(scores: ArrayLike, labels: ArrayLike, task: Task, *, valid: ArrayLike | None = None) -> Metrics:
    """All metrics of a task: ``sample_map, class_map, micro_map``, or ``top1, top5``.

    Of five classes or fewer ``top5`` would always be 1, and is left out.

    ``scores`` and ``labels`` (N, C) as in :func:`sample_map`, one label a row for single-label; ``valid`` (N,) of
    bool: rows where it is False have no scores, are skipped and counted.
    """
    values, positive = np.asarray(scores), np.asarray(labels)
    rows = len(values)
    kept = np.ones(rows, bool) if valid is None else np.asarray(valid, bool)
    if not kept.all():
        values, positive = values[kept], positive[kept]
    values, positive = _checked(values, positive)
    per_row = np.count_nonzero(positive, axis=1)
    without_labels = int(np.count_nonzero(per_row == 0))
    counts = {
        "rows": rows,
        "without_scores": rows - len(values),
        "without_labels": without_labels,
        "measured": len(values) - without_labels,
    }
    if task == "single-label":
        several = np.flatnonzero(per_row > 1)
        if several.size:
            raise ValueError(f"row {several[0]} has {per_row[several[0]]} labels, but the task is single-label")
        classes = np.where(per_row == 1, positive.argmax(axis=1), -1) if positive.size else np.zeros(0, np.int64)
        telling = [k for k in (1, 5) if k == 1 or values.shape[1] > _FEW]
        return Metrics(task, {f"top{k}": top_k_accuracy(values, classes, k) for k in telling}, counts)
    by_class = class_ap(values, positive)
    counts["classes_without_positive"] = int(np.count_nonzero(np.isnan(by_class)))
    measured = {
        "sample_map": sample_map(values, positive),
        "class_map": _nanmean(by_class),
        "micro_map": micro_map(values, positive),
    }
    return Metrics(task, measured, counts)


def _compared(scores: Matrix, labels: Matrix) -> NDArray[np.float64] | None:
    """What the compiled library gives; None where it is not used, or where what is wrong has yet to be said."""
    return compared_ap(scores, labels) if scores.ndim == 2 and labels.shape == scores.shape else None


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Matrix, NDArray[np.bool_]]:
    values, marks = _scores(scores), np.asarray(labels)
    if marks.shape != values.shape:
        raise ValueError(f"scores are {values.shape} and labels {marks.shape}: they must have the same shape")
    if marks.dtype == bool:
        return values, marks
    positive = np.empty(marks.shape, bool)
    step = max(1, _BLOCK // max(1, marks.shape[1]))
    for start in range(0, len(marks), step):
        block = marks[start : start + step]
        np.not_equal(block, 0, out=positive[start : start + step])
        # 1 is the only value but 0 that equals its own mark.
        strange = positive[start : start + step].view(np.uint8) != block
        if strange.any():
            raise ValueError(f"labels of row {start + np.flatnonzero(strange.any(axis=1))[0]} are not all 0 or 1")
    return values, positive


def _scores(scores: ArrayLike) -> Matrix:
    """``scores`` as a float32 or float64 matrix without NaN."""
    values = np.asarray(scores)
    if values.ndim != 2:
        raise ValueError(f"scores must be (rows, classes), got shape {values.shape}")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    step = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        unknown = np.isnan(values[start : start + step])
        if unknown.any():
            row = start + int(np.flatnonzero(unknown.any(axis=1))[0])
            raise ValueError(f"scores of row {row} (counted from 0) hold NaN: a metric needs numbers")
    return values


def _nanmean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
