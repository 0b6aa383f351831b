"""The compiled average precision beside scikit-learn's, the definition, and the sorted rows that stand in for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from tinkit import metrics
from tinkit.average_precision import compared_ap, compiled
from tinkit.average_precision.rows import row_ap
from tinkit.metrics import class_map, sample_ap, sample_map
from tinkit.native import library


@pytest.fixture(autouse=True)
def _small_matrices_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "SMALL", 1)
    compiled._library.cache_clear()
    if compiled._library() is None:
        pytest.skip("no C++ compiler")
    yield
    compiled._library.cache_clear()


def slow_ap(scores: np.ndarray, labels: np.ndarray) -> float:
    positives = np.flatnonzero(labels)
    if not positives.size:
        return float("nan")
    return float(np.mean([labels[scores >= scores[p]].sum() / (scores >= scores[p]).sum() for p in positives]))


@settings(max_examples=50)
@given(data=st.data(), rows=st.integers(1, 5), width=st.integers(1, 40))
def test_it_is_the_definition_with_infinities_and_ties(data: st.DataObject, rows: int, width: int) -> None:
    values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 0.5 + 2**-20, np.inf])
    scores = data.draw(hnp.arrays(data.draw(st.sampled_from([np.float32, np.float64])), (rows, width), elements=values))
    labels = data.draw(hnp.arrays(data.draw(st.sampled_from([np.uint8, np.int8, bool])), (rows, width)))
    labels = (labels != 0).astype(labels.dtype)
    found = compared_ap(scores, labels)
    assert found is not None
    np.testing.assert_allclose(found, [slow_ap(s, y) for s, y in zip(scores, labels, strict=True)], atol=1e-12)
    np.testing.assert_allclose(found, row_ap(scores, labels.astype(bool)), atol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), decimals=st.integers(0, 3), width=st.sampled_from([313, 17, 5000]))
def test_it_is_scikit_learns_with_ties(seed: int, decimals: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    scores = np.round(draw.normal(size=(4, width)), decimals).astype(draw.choice([np.float32, np.float64]))
    labels = np.zeros((4, width), np.uint8)
    for row, count in enumerate((1, 6, min(width, 256), min(width, 400))):
        labels[row, draw.choice(width, count, replace=False)] = 1
    wanted = [average_precision_score(y, s) for y, s in zip(labels, scores, strict=True)]
    np.testing.assert_allclose(sample_ap(scores, labels), wanted, atol=1e-9, rtol=0)
    assert sample_map(scores, labels) == pytest.approx(np.mean(wanted), abs=1e-9)
    assert class_map(scores.T, labels.T) == pytest.approx(np.mean(wanted), abs=1e-9)


def test_layouts_that_are_not_plain_rows() -> None:
    draw = np.random.default_rng(3)
    scores, labels = draw.normal(size=(30, 41)), (draw.random((30, 41)) < 0.1).astype(np.uint8)
    wanted = row_ap(scores, labels.astype(bool))
    for turn in (np.asfortranarray, lambda one: np.repeat(one, 2, axis=0)[::2]):
        np.testing.assert_allclose(sample_ap(turn(scores), turn(labels)), wanted, atol=1e-12)
    reverse = sample_ap(scores[::-1, ::-1], labels[::-1, ::-1])
    np.testing.assert_allclose(reverse[::-1], wanted, atol=1e-12)
    np.testing.assert_allclose(sample_ap(scores.astype(">f8"), labels), wanted, atol=1e-12)
    wide = np.zeros((30, 50))
    wide[:, 3:44] = scores
    np.testing.assert_allclose(sample_ap(wide[:, 3:44], labels), wanted, atol=1e-12)
    same = np.broadcast_to(scores[:1], (30, 41))
    np.testing.assert_allclose(sample_ap(same, labels), row_ap(same, labels.astype(bool)), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_wrong_is_said_as_without_it(dtype: type) -> None:
    scores, labels = np.zeros((5, 40), dtype), np.zeros((5, 40), np.uint8)
    scores[3, 37] = np.nan
    assert compared_ap(scores, labels) is None
    with pytest.raises(ValueError, match="row 3 "):
        sample_map(scores, labels)
    scores[3, 37] = 0
    labels[2, 39] = 2
    with pytest.raises(ValueError, match="labels of row 2 are not all 0 or 1"):
        sample_map(scores, labels)


def test_without_a_library_rows_are_sorted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    scores, labels = draw.normal(size=(20, 30)).astype(np.float32), (draw.random((20, 30)) < 0.2).astype(np.uint8)
    wanted = sample_ap(scores, labels)
    monkeypatch.setenv("TINKIT_NATIVE", "0")
    compiled._library.cache_clear()
    assert compared_ap(scores, labels) is None
    np.testing.assert_allclose(sample_ap(scores, labels), wanted, atol=1e-12)
    monkeypatch.delenv("TINKIT_NATIVE")
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(library, "COMPILERS", ())
    monkeypatch.delenv("CXX", raising=False)
    compiled._library.cache_clear()
    assert compared_ap(scores, labels) is None
    np.testing.assert_allclose(sample_ap(scores, labels), wanted, atol=1e-12)
    assert metrics.METRICS["sample_map"].on(labels)(scores) == pytest.approx(np.nanmean(wanted))
