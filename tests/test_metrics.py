"""The metrics against scikit-learn and a loop that follows the definition."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, top_k_accuracy_score

from tinkit import metrics
from tinkit.errors import UsageError
from tinkit.metrics import (
    check_metric,
    class_ap,
    class_map,
    evaluate,
    micro_map,
    sample_ap,
    sample_map,
    top_k_accuracy,
)


def slow_ap(scores: np.ndarray, labels: np.ndarray) -> float:
    """The definition: precision at the threshold of each positive, averaged; infinities are numbers like any other."""
    positives = np.flatnonzero(labels)
    if not positives.size:
        return float("nan")
    return float(np.mean([labels[scores >= scores[p]].sum() / (scores >= scores[p]).sum() for p in positives]))


def sklearn_rows(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([average_precision_score(y, s) if y.any() else np.nan for s, y in zip(scores, labels, strict=True)])


def example(rows: int, classes: int, *, ties: bool, density: float, dtype: type, seed: int) -> tuple:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(rows, classes))
    if ties:
        scores = np.round(scores)
        scores[::7] = 0.25  # constant rows
    labels = (random.random((rows, classes)) < density).astype(np.uint8)
    labels[3] = 0
    labels[5] = 1
    return scores.astype(dtype), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("density", [0.01, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_precisions_are_scikit_learns(ties: bool, density: float, dtype: type) -> None:
    scores, labels = example(60, 97, ties=ties, density=density, dtype=dtype, seed=1)
    np.testing.assert_allclose(sample_ap(scores, labels), sklearn_rows(scores, labels), atol=1e-9, rtol=0)
    np.testing.assert_allclose(class_ap(scores, labels), sklearn_rows(scores.T, labels.T), atol=1e-9, rtol=0)
    assert sample_map(scores, labels) == pytest.approx(np.nanmean(sklearn_rows(scores, labels)), abs=1e-9)
    assert class_map(scores, labels) == pytest.approx(np.nanmean(sklearn_rows(scores.T, labels.T)), abs=1e-9)
    assert micro_map(scores, labels) == pytest.approx(average_precision_score(labels.ravel(), scores.ravel()), abs=1e-9)


@pytest.mark.parametrize("block", [1, 50, 333])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    scores, labels = example(45, 37, ties=True, density=0.2, dtype=np.float32, seed=2)
    whole = sample_ap(scores, labels), class_ap(scores, labels), micro_map(scores, labels)
    classes = labels.argmax(axis=1)
    top3 = top_k_accuracy(scores, classes, 3)
    monkeypatch.setattr(metrics, "_BLOCK", block)
    monkeypatch.setattr(metrics, "_FLAT_BLOCK", block)
    np.testing.assert_array_equal(sample_ap(scores, labels), whole[0])
    np.testing.assert_array_equal(class_ap(scores, labels), whole[1])
    assert micro_map(scores, labels) == whole[2]
    assert top_k_accuracy(scores, classes, 3) == top3


@settings(max_examples=150)
@given(data=st.data(), rows=st.integers(1, 6), width=st.integers(1, 9))
def test_average_precisions_are_the_definitions_with_infinities_and_ties(
    data: st.DataObject, rows: int, width: int
) -> None:
    values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 0.5 + 2**-20, np.inf])
    scores = data.draw(hnp.arrays(data.draw(st.sampled_from([np.float32, np.float64])), (rows, width), elements=values))
    labels = data.draw(hnp.arrays(np.uint8, (rows, width), elements=st.integers(0, 1)))
    by_row = [slow_ap(s, y) for s, y in zip(scores, labels, strict=True)]
    by_class = [slow_ap(s, y) for s, y in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(sample_ap(scores, labels), by_row, atol=1e-12)
    np.testing.assert_allclose(class_ap(scores, labels), by_class, atol=1e-12)
    np.testing.assert_allclose(micro_map(scores, labels), slow_ap(scores.ravel(), labels.ravel()), atol=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
def test_labels_of_any_type_and_layout(dtype: type) -> None:
    scores, labels = example(40, 30, ties=False, density=0.1, dtype=np.float64, seed=3)
    wanted = sample_map(scores, labels)
    assert sample_map(np.asfortranarray(scores), np.asfortranarray(labels.astype(dtype))) == wanted
    assert sample_map(scores[:, ::-1], labels[:, ::-1]) == pytest.approx(wanted, abs=1e-12)
    assert sample_map(scores.tolist(), labels.tolist()) == wanted


def test_rows_without_labels_are_skipped_and_nothing_to_measure_is_nan() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert sample_map(scores, np.array([[0, 1], [0, 0]])) == 0.5
    assert class_map(scores, np.array([[0, 1], [0, 0]])) == 0.5
    for empty in (np.zeros((2, 2)), np.zeros((0, 2))):
        for metric in (sample_map, class_map, micro_map):
            assert np.isnan(metric(scores[: len(empty)], empty))


def test_nan_is_an_error_that_names_the_row() -> None:
    scores = np.zeros((5, 4), np.float32)
    scores[3, 2] = np.nan
    for metric in (sample_map, class_map, micro_map):
        with pytest.raises(ValueError, match="row 3 "):
            metric(scores, np.ones((5, 4)))
    with pytest.raises(ValueError, match="row 3 "):
        top_k_accuracy(scores, np.zeros(5, int))


def test_wrong_labels_and_shapes_are_errors() -> None:
    scores = np.zeros((3, 4))
    for bad in (2, -1, 0.5, np.nan):
        labels = np.zeros((3, 4))
        labels[1, 1] = bad
        with pytest.raises(ValueError, match="row 1 "):
            sample_map(scores, labels)
    with pytest.raises(ValueError, match="same shape"):
        sample_map(scores, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="rows, classes"):
        sample_map(np.zeros(3), np.zeros(3))


def test_top_k_is_scikit_learns_without_ties_and_lists_the_lower_class_first_with_them() -> None:
    random = np.random.default_rng(4)
    scores, classes = random.normal(size=(200, 12)), random.integers(0, 12, 200)
    for k in (1, 5):
        wanted = top_k_accuracy_score(classes, scores, k=k, labels=np.arange(12))
        assert top_k_accuracy(scores, classes, k) == pytest.approx(wanted, abs=1e-12)
    constant = np.zeros((4, 4))
    assert top_k_accuracy(constant, np.arange(4), 1) == 0.25
    assert top_k_accuracy(constant, np.arange(4), 2) == 0.5
    assert top_k_accuracy(constant, np.array([0, -1, -1, 3]), 1) == 0.5
    with pytest.raises(ValueError, match="row 2 has class 4"):
        top_k_accuracy(constant, np.array([0, 0, 4, 0]))


def test_evaluate_counts_what_it_skips() -> None:
    scores = np.array([[3, 2, 1], [1, 2, 3], [np.nan] * 3, [3, 2, 1]], np.float32)
    labels = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
    measured = evaluate(scores, labels, "multi-label", valid=np.array([True, True, False, True]))
    assert measured.counts == {
        "rows": 4,
        "without_scores": 1,
        "without_labels": 1,
        "measured": 2,
        "classes_without_positive": 2,
    }
    assert measured["sample_map"] == pytest.approx((1 + 1 / 3) / 2)
    assert set(measured.values) == {"sample_map", "class_map", "micro_map"}
    single = evaluate(scores[:2], labels[:2], "single-label")
    assert single.values == {"top1": 0.5}  # of three classes all are among the five best
    six = np.eye(6, dtype=np.float32)[[0, 5, 2]]
    assert evaluate(six[:, :5], np.eye(5, dtype=int)[[0, 1, 2]], "single-label").values.keys() == {"top1"}
    assert evaluate(six, np.eye(6, dtype=int)[[0, 5, 1]], "single-label").values == {"top1": 2 / 3, "top5": 1.0}
    assert check_metric("top5", "single-label", 6) == "top5"
    with pytest.raises(UsageError, match="top5 of 5 classes is always 100%"):
        check_metric("top5", "single-label", 5)
    nothing = evaluate(np.zeros((0, 6)), np.zeros((0, 6)), "single-label")
    assert np.isnan([nothing["top1"], nothing["top5"]]).all()
    assert nothing.counts["measured"] == 0
    with pytest.raises(ValueError, match="row 1 has 2 labels"):
        evaluate(scores[:2], np.array([[1, 0, 0], [1, 1, 0]]), "single-label")


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_row_of_the_table_measures_what_its_name_says(name: metrics.LeaderboardMetric) -> None:
    row = metrics.METRICS[name]
    random = np.random.default_rng(4)
    scores, truth = random.normal(size=(40, 9)), random.integers(0, 9, 40)
    labels = np.eye(9, dtype=np.uint8)[truth]
    if row.task == "multi-label":
        labels[:, 0] |= random.random(40) < 0.5
    top = {k: top_k_accuracy_score(truth, scores, k=k) for k in (1, 5)}
    wanted = {
        "sample_map": average_precision_score(labels, scores, average="samples"),
        "class_map": average_precision_score(labels, scores, average="macro"),
        "micro_map": average_precision_score(labels, scores, average="micro"),
        "top1": top[1],
        "top5": top[5],
        "mean_top1_top5_error": ((1 - top[1]) + (1 - top[5])) / 2,
        "mean_class_accuracy": balanced_accuracy_score(truth, scores.argmax(axis=1)),
        "macro_f1": f1_score(truth, scores.argmax(axis=1), average="macro"),
        "hit1": top[1],
        "hit3": top_k_accuracy_score(truth, scores, k=3),
    }
    if name not in wanted:  # tests/test_leaderboard.py has their definitions
        assert name in ("gap20", "interpolated_map", "charades_map")
        return
    assert row.on(labels)(scores) == pytest.approx(wanted[name], abs=1e-9)
    order = np.argsort(-scores, axis=1)
    shuffled = scores.copy()
    np.put_along_axis(shuffled, order[:, row.places :], scores.min() - 1, axis=1)  # of which no list of labels tells
    if row.task == "single-label":
        assert row.on(labels)(shuffled) == row.on(labels)(scores)


def test_the_table_of_metrics_is_whole() -> None:
    assert tuple(metrics.METRICS) == get_args(metrics.LeaderboardMetric)
    assert set(get_args(metrics.MetricName)) < set(metrics.METRICS)
