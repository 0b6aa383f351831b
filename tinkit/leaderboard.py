"""What leaderboards measure beside average precision and accuracy, as their organisers describe it.

Scores are (N, C), floating and without NaN; labels (N, C) of bool. A score of -inf means that the file does not list
the class for that row. Where organisers leave the order of equal scores to chance, equal scores share one threshold.
Values lie between 0 and 1; a metric that has nothing to be measured on is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
Marks = NDArray[np.bool_]

_BLOCK = 1 << 20  # elements looked at at a time


def ahead_of(scores: Matrix, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes of each row rank before its class of ``classes`` (N,): the lower index first where equal."""
    own = np.take_along_axis(scores, classes[:, None], axis=1)
    tied_before = (scores == own) & (np.arange(scores.shape[1]) < classes[:, None])
    return np.count_nonzero((scores > own) | tied_before, axis=1)


def mean_class_accuracy(scores: Matrix, labels: Marks) -> float:
    """The mean over the classes that have a row of the share of their rows whose highest score is theirs.

    ``labels`` has one class a row; rows without any are skipped. The macro-averaged recall of other programs.
    """
    told, truth = _told(scores, labels)
    count = np.bincount(truth, minlength=scores.shape[1])
    right = np.bincount(truth[told == truth], minlength=scores.shape[1])
    present = count > 0
    return float((right[present] / count[present]).mean()) if present.any() else float("nan")


def macro_f1(scores: Matrix, labels: Marks) -> float:
    """The mean of ``2 TP / (2 TP + FP + FN)`` over the classes that are right, or told, of some row.

    ``labels`` has one class a row; rows without any are skipped. A row tells the class of its highest score.
    """
    told, truth = _told(scores, labels)
    width = scores.shape[1]
    hits = np.bincount(truth[told == truth], minlength=width)
    both = np.bincount(told, minlength=width) + np.bincount(truth, minlength=width)  # 2 TP + FP + FN
    seen = both > 0
    return float((2 * hits[seen] / both[seen]).mean()) if seen.any() else float("nan")


def hit_at(scores: Matrix, labels: Marks, k: int) -> float:
    """Hit@k: the share of the rows with a label that have one among their ``k`` highest scores (ActivityNet)."""
    hits = rows = 0
    step = max(1, _BLOCK // scores.shape[1])
    for start in range(0, len(scores), step):
        marks = labels[start : start + step]
        known = np.flatnonzero(marks.any(axis=1))
        block, marks = scores[start : start + step][known], marks[known]
        # Of a row's labels the best is the first of the highest score.
        own = np.where(marks, block, -np.inf)
        best, listed = own.argmax(axis=1), own.max(axis=1) > -np.inf
        hits += int(np.count_nonzero((ahead_of(block, best) < k) & listed))
        rows += len(known)
    return hits / rows if rows else float("nan")


def gap_at(scores: Matrix, labels: Marks, k: int) -> float:
    """GAP@k, global average precision (YouTube-8M): the ``k`` highest scores of each row in one ranking.

    ``sum_i p(i) dr(i)`` over the pooled (row, class) pairs by falling score, p the precision and dr the step of recall;
    the recall's whole is every label, also those that no row lists.
    """
    total = int(np.count_nonzero(labels))
    if not total:
        return float("nan")
    kept, hits = [], []
    step = max(1, _BLOCK // scores.shape[1])
    for start in range(0, len(scores), step):
        block = scores[start : start + step]
        best = np.argsort(-block, axis=1, kind="stable")[:, :k]
        kept.append(np.take_along_axis(block, best, axis=1).ravel())
        hits.append(np.take_along_axis(labels[start : start + step], best, axis=1).ravel())
    precision, found = _curve(np.concatenate(kept), np.concatenate(hits))
    return float(np.sum(precision * np.diff(found, prepend=0)) / total)


def interpolated_ap(scores: Matrix, labels: Marks) -> NDArray[np.float64]:
    """Each class's average precision with interpolated precision (ActivityNet), (C,); NaN without a positive.

    ``sum_i dr(i) max_{j >= i} p(j)`` over the rows that list the class, by falling score: the precision at a recall is
    the highest at that recall or a larger one. Positives that are not listed are never found.
    """
    result = np.full(scores.shape[1], np.nan)
    for column in np.flatnonzero(labels.any(axis=0)):
        precision, found = _curve(scores[:, column], labels[:, column])
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        result[column] = np.sum(highest * np.diff(found, prepend=0)) / np.count_nonzero(labels[:, column])
    return result


def interpolated_map(scores: Matrix, labels: Marks) -> float:
    """The mean of :func:`interpolated_ap` over the classes that have a positive."""
    values = interpolated_ap(scores, labels)
    return float(np.nanmean(values)) if labels.any() else float("nan")


def last_without_labels(scores: Matrix, labels: Marks) -> Matrix:
    """``scores`` as Charades ranks them: a row without a label is never looked up, and is last in every class."""
    return np.where(np.any(labels, axis=1, keepdims=True), scores, scores.dtype.type(-np.inf))


def joint_top(scores: tuple[Matrix, Matrix], classes: tuple[Matrix, Matrix], k: int) -> float:
    """Share of the rows whose pair of ``classes``, each (N,), is among the ``k`` pairs of largest product of softmaxes.

    EPIC-Kitchens-100's action: the product over all pairs of verb and noun. It ranks as the sum of the two scores does,
    of which a softmax takes the same from every class. Of equal sums the one of the lower first, then of the lower
    second class ranks before. No table of all pairs is needed: the best pairs are of each head's ``k`` best classes.
    """
    hits = 0
    rows = len(scores[0])
    step = max(1, _BLOCK // (scores[0].shape[1] + scores[1].shape[1] + k * k))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        first, second = (one[part].astype(np.float64) for one in scores)
        best = _best_pairs(first, second, k)
        wanted = classes[0][part] * scores[1].shape[1] + classes[1][part]
        hits += int(np.count_nonzero((best == wanted[:, None]).any(axis=1)))
    return hits / rows if rows else float("nan")


def _best_pairs(first: Matrix, second: Matrix, k: int) -> NDArray[np.int64]:
    """The ``k`` best pairs of each row, (n, k), as ``first class * classes of second + second class``."""
    tops = [np.argsort(-one, axis=1, kind="stable")[:, :k] for one in (first, second)]
    a, b = (np.take_along_axis(one, top, axis=1) for one, top in zip((first, second), tops, strict=True))
    sums = (a[:, :, None] + b[:, None, :]).reshape(len(first), -1)
    pairs = (tops[0][:, :, None] * second.shape[1] + tops[1][:, None, :]).reshape(len(first), -1)
    order = np.lexsort((pairs, -sums), axis=1)[:, :k]
    return np.take_along_axis(pairs, order, axis=1)


def _told(scores: Matrix, labels: Marks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class that each labelled row tells, and its label."""
    known = labels.any(axis=1)
    return scores[known].argmax(axis=1), labels[known].argmax(axis=1)


def _curve(scores: Matrix, hits: Marks) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Precision and number of hits at each distinct score from the highest on; -inf is not listed."""
    listed = scores > -np.inf
    scores, hits = scores[listed], hits[listed]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if ranked.size else np.zeros(0, np.int64)
    found = np.cumsum(hits[order])[ends]
    return found / (ends + 1), np.asarray(found, np.int64)
