"""What leaderboards measure, against scikit-learn and against loops written from the definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from tinkit.leaderboard import gap_at, hit_at, interpolated_ap, joint_top, macro_f1, mean_class_accuracy
from tinkit.metrics import METRICS


def drawn(seed: int, rows: int, width: int, levels: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of few ``levels``, so that many are equal, and labels of which rows and classes may have none."""
    random = np.random.default_rng(seed)
    return random.integers(0, levels, (rows, width)) / levels, random.random((rows, width)) < 0.3


CASES = st.tuples(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 7), st.sampled_from([3, 10**6]))


@settings(max_examples=60)
@given(case=CASES, ruled_out=st.booleans())
def test_interpolated_precision_against_its_definition(case: tuple[int, int, int, int], ruled_out: bool) -> None:
    scores, labels = drawn(*case)
    if ruled_out:
        scores[np.random.default_rng(case[0]).random(scores.shape) < 0.3] = -np.inf
    found = interpolated_ap(scores, labels)
    for column in range(scores.shape[1]):
        own, positive = scores[:, column], labels[:, column]
        thresholds = sorted({value for value in own if value > -np.inf}, reverse=True)
        points = [(positive[own >= t].sum() / max(1, positive.sum()), positive[own >= t].mean()) for t in thresholds]
        area, last = 0.0, 0.0
        for place, (recall, _) in enumerate(points):
            area += (recall - last) * max(precision for _, precision in points[place:])
            last = recall
        if positive.any():
            assert found[column] == pytest.approx(area, abs=1e-12)
        else:
            assert np.isnan(found[column])


def test_interpolated_precision_is_not_scikit_learns() -> None:
    scores, labels = np.array([[0.9], [0.8], [0.7]]), np.array([[False], [True], [True]])
    assert interpolated_ap(scores, labels)[0] == pytest.approx(2 / 3)
    assert average_precision_score(labels[:, 0], scores[:, 0]) == pytest.approx((1 / 2 + 2 / 3) / 2)


@settings(max_examples=60)
@given(case=CASES, k=st.integers(1, 8))
def test_global_average_precision_against_a_pool_of_pairs(case: tuple[int, int, int, int], k: int) -> None:
    scores, labels = drawn(*case)
    pool = []
    for row, own in zip(scores, labels, strict=True):
        best = sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))[:k]
        pool += [(row[c], bool(own[c])) for c in best]
    thresholds = sorted({value for value, _ in pool}, reverse=True)
    total, area, last = labels.sum(), 0.0, 0
    for threshold in thresholds:
        kept = [hit for value, hit in pool if value >= threshold]
        area += sum(kept) / len(kept) * (sum(kept) - last)
        last = sum(kept)
    found = gap_at(scores, labels, k)
    assert np.isnan(found) if not total else found == pytest.approx(area / total, abs=1e-12)
    if k >= scores.shape[1] and total:
        assert found == pytest.approx(average_precision_score(labels.ravel(), scores.ravel()), abs=1e-12)


@settings(max_examples=60)
@given(case=CASES)
def test_class_averages_against_scikit_learn(case: tuple[int, int, int, int]) -> None:
    scores, _ = drawn(*case)
    truth = np.random.default_rng(case[0]).integers(0, scores.shape[1], len(scores))
    labels = np.eye(scores.shape[1], dtype=bool)[truth]
    told = scores.argmax(axis=1)
    seen = np.unique(truth)
    recalls = [np.mean(told[truth == c] == c) for c in seen]
    assert mean_class_accuracy(scores, labels) == pytest.approx(np.mean(recalls))
    assert macro_f1(scores, labels) == pytest.approx(f1_score(truth, told, average="macro", zero_division=0))
    if set(told) <= set(seen) and len(seen) > 1:
        assert mean_class_accuracy(scores, labels) == pytest.approx(balanced_accuracy_score(truth, told))


@settings(max_examples=60)
@given(case=CASES, k=st.integers(1, 4))
def test_hits_against_ranked_lists(case: tuple[int, int, int, int], k: int) -> None:
    scores, labels = drawn(*case)
    scores[scores == 0] = -np.inf
    hits = []
    for row, own in zip(scores, labels, strict=True):
        best = [c for c in sorted(range(len(row)), key=lambda c, row=row: (-row[c], c))[:k] if row[c] > -np.inf]
        if own.any():
            hits.append(bool(own[best].any()))
    found = hit_at(scores, labels, k)
    assert found == pytest.approx(np.mean(hits)) if hits else np.isnan(found)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), sizes=st.tuples(st.integers(1, 7), st.integers(1, 9)), k=st.integers(1, 6))
def test_pairs_of_classes_against_the_table_of_all_pairs(seed: int, sizes: tuple[int, int], k: int) -> None:
    random = np.random.default_rng(seed)
    scores = tuple(random.integers(-3, 4, (20, size)) * 1.0 for size in sizes)
    classes = tuple(random.integers(0, size, 20) for size in sizes)
    hits = 0
    for i in range(20):
        # The softmaxes' products, of whole numbers so that equal ones are equal: exp(a + b) over the same two sums.
        first, second = (one[i] for one in scores)
        pairs = sorted(
            itertools.product(range(sizes[0]), range(sizes[1])), key=lambda p: (-(first[p[0]] + second[p[1]]), p)
        )
        hits += (classes[0][i], classes[1][i]) in pairs[:k]
    assert joint_top((scores[0], scores[1]), (classes[0], classes[1]), k) == hits / 20


def test_a_video_without_actions_ranks_last_in_charades() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    labels = np.array([[0, 0], [1, 0], [0, 1]])
    assert METRICS["class_map"].on(labels)(scores) == pytest.approx((1 / 2 + 1) / 2)
    assert METRICS["charades_map"].on(labels)(scores) == 1


def test_what_is_not_listed_is_never_right() -> None:
    nothing = np.full((2, 6), -np.inf)
    labels = np.eye(6, dtype=np.uint8)[[0, 3]]
    for name in ("top1", "top5", "hit1", "hit3", "interpolated_map"):
        assert METRICS[name].on(labels)(nothing) == 0, name  # type: ignore[index]
