"""Weights searched for a metric: found, honest about what they are worth, and the same every time."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.fusion_members import member
from tinkit.errors import UsageError, UserError
from tinkit.fusion import METHODS, Examples, Member, Options, align, combine, fit, search_weights
from tinkit.fusion.arrays import Learned, Matrix
from tinkit.fusion.choosing import crossfit
from tinkit.fusion.ways import search
from tinkit.metrics import evaluate, sample_map
from tinkit.scores import label_matrix


def measured(aligned: object, weights: np.ndarray | None, metric: str) -> float:
    fused = combine(aligned, weights)  # type: ignore[arg-type]
    return evaluate(fused.scores, label_matrix(fused), fused.info.task)[metric]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("multi-label", "sample_map"),
        ("multi-label", "class_map"),
        ("multi-label", "micro_map"),
        ("single-label", "top1"),
        ("single-label", "top5"),
    ],
)
def test_fitted_weights_beat_the_equal_ones_where_members_differ(task: str, metric: str) -> None:
    strengths = {"good": 2.5, "fair": 1.0, "noise": 0.0, "noisier": 0.0}
    aligned = align([member(run, strength=value, clips=150, classes=9, task=task) for run, value in strengths.items()])
    found = fit(aligned, metric, parts=3)  # type: ignore[arg-type]
    assert found.learned["weights"].sum() == pytest.approx(1)
    assert (found.learned["weights"] >= 0).all()
    assert [part["weights"].shape for part in found.part_learned] == [(4,)] * 3
    equal, best = measured(aligned, None, metric), measured(aligned, found.learned["weights"], metric)
    assert best > equal + 0.02
    assert found.learned["weights"].argmax() == 0
    assert found.cross_validated[metric] > equal
    assert found.cross_validated[metric] <= best + 0.01
    assert found.cross_validated.counts["measured"] == 150


def test_the_search_is_near_the_best_of_a_fine_grid() -> None:
    aligned = align([member(run, strength=value, clips=120) for run, value in (("a", 1.5), ("b", 1.0), ("c", 0.3))])
    labels = label_matrix(combine(aligned))

    def measure(scores: np.ndarray) -> float:
        return sample_map(scores, labels)

    found = search_weights(aligned.scores, measure, seed=0)
    grid = [np.array([i, j, 25 - i - j]) / 25 for i, j in itertools.product(range(26), range(26)) if i + j <= 25]
    best = max(measured(aligned, weights, "sample_map") for weights in grid)
    assert measured(aligned, found, "sample_map") > best - 0.005


def test_the_estimate_never_scores_a_clip_with_weights_fitted_on_its_source() -> None:
    aligned = align([member("a", strength=1), member("b", strength=0.8)])
    found = fit(aligned, "sample_map", parts=4)
    labels = label_matrix(combine(aligned)).astype(bool)
    sources = np.array(list(aligned.source))
    held_out = np.full(labels.shape, np.nan)
    for train, test in crossfit.parts_of(np.unique(sources, return_inverse=True)[1], 4, "val"):
        assert not set(sources[train]) & set(sources[test])
        weights = search_weights(
            [s[train] for s in aligned.scores], functools.partial(sample_map, labels=labels[train])
        )
        held_out[test] = sum(w * s[test] for w, s in zip(weights, aligned.scores, strict=True))
    assert found.cross_validated["sample_map"] == pytest.approx(sample_map(held_out, labels), abs=1e-6)


def test_noise_is_not_promised_to_be_better_than_it_is() -> None:
    aligned = align([member(f"noise {i}", strength=0.0, clips=90, classes=8) for i in range(8)])
    found = fit(aligned, "sample_map")
    optimistic = measured(aligned, found.learned["weights"], "sample_map")
    assert optimistic > measured(aligned, None, "sample_map")
    assert found.cross_validated["sample_map"] < optimistic - 0.02


def test_the_same_seed_gives_the_same_weights() -> None:
    aligned = align([member(run, strength=0.7) for run in "abc"])
    first, again = fit(aligned, "class_map", seed=3), fit(aligned, "class_map", seed=3)
    np.testing.assert_array_equal(first.learned["weights"], again.learned["weights"])
    np.testing.assert_equal(first.part_learned, again.part_learned)


def test_a_member_that_spoils_the_sum_loses_its_weight() -> None:
    good = np.eye(4, dtype=np.float32)
    scores = [good, -100 * good]  # no multiple of the first that the search may reach outweighs the second

    def measure(summed: np.ndarray) -> float:
        return sample_map(summed, np.eye(4))

    weights, value = search._ascend(scores, measure, np.array([0.5, 0.5]))
    assert (weights.tolist(), value) == ([1.0, 0.0], 1.0)
    assert search_weights(scores, measure).tolist() == [1.0, 0.0]


def test_one_member_gets_all_the_weight() -> None:
    assert fit(align([member("a")]), "sample_map").learned["weights"].tolist() == [1.0]


def test_a_large_split_is_fitted_on_a_draw_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossfit, "FIT_ROWS", 50)
    aligned = align([member("good", strength=3.0, clips=200), member("noise", strength=0.0, clips=200)])
    found = fit(aligned, "sample_map")
    assert (found.rows, found.known) == (50, 200)
    assert found.cross_validated.counts["measured"] == 50
    assert measured(aligned, found.learned["weights"], "sample_map") > measured(aligned, None, "sample_map")


def test_a_method_is_given_what_was_said_and_no_more_clips_than_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossfit, "FIT_ROWS", 25)
    aligned = align([member("a"), member("b")])
    labels = label_matrix(combine(aligned)).astype(bool)
    place = {row.tobytes(): number for number, row in enumerate(aligned.scores[0])}
    given: list[tuple[Examples, Options]] = []

    def learn(examples: Examples, options: Options) -> Learned:
        given.append((examples, options))
        return METHODS["mean-logits"].start(options)

    def mean(scores: Sequence[Matrix], valid: NDArray[np.bool_], learned: Learned) -> NDArray[np.float64]:
        assert (valid.dtype, valid.shape) == (bool, (2, len(scores[0])))
        return METHODS["mean-logits"].apply(scores, valid, learned)

    method = dataclasses.replace(METHODS["mean-logits"], fit=learn, apply=mean)
    fit(aligned, "class_map", method=method, keys={"width": 3}, parts=4, seed=7)
    assert len(given) == 5
    assert len(given[-1][0].labels) == 25  # the whole draw
    assert sum(25 - len(examples.labels) for examples, _ in given[:4]) == 25  # of which each part is left out once
    for examples, options in given:
        assert options == Options(members=2, classes=6, metric="class_map", seed=7, keys={"width": 3})
        rows = [place[row.tobytes()] for row in examples.scores[0]]
        assert len(set(rows)) == len(rows)
        assert rows == sorted(rows)
        np.testing.assert_array_equal(examples.scores[1], aligned.scores[1][rows])
        np.testing.assert_array_equal(examples.labels, labels[rows])
        alike = np.array([aligned.source[row] for row in rows])
        assert ((examples.source[:, None] == examples.source) == (alike[:, None] == alike)).all()


def test_clips_without_labels_or_scores_take_no_part() -> None:
    members = []
    for run in ("a", "b"):
        base = member(run)
        gone = np.arange(60) < (5 if run == "a" else 0)
        labels = [None if clip >= 50 else own for clip, own in enumerate(base.table.labels)]
        scores = np.where(gone[:, None], np.float32("nan"), base.table.scores)
        table = dataclasses.replace(base.table, valid=~gone, labels=labels, scores=scores)
        members.append(Member(run, table))
    found = fit(align(members, missing="mean"), "sample_map", keys={"scale": "none"})
    assert found.rows == 45
    alike = (members[0].table.scores[5:50] + members[1].table.scores[5:50]) / 2
    wanted = sample_map(alike, label_matrix(members[0].table)[5:50])
    assert found.equal["sample_map"] == pytest.approx(wanted, abs=1e-6)
    assert found.equal.counts == found.cross_validated.counts


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(UserError, match="'b' was trained on 'val'"):
        fit(align([member("a"), member("b", trained_on=("train", "val"))]), "sample_map")
    with pytest.raises(UserError, match="nothing to fit on"):
        fit(align([member("a", labelled=False)]), "sample_map")
    with pytest.raises(UserError, match="20 sources: they cannot be split into 21 parts"):
        fit(align([member("a")]), "sample_map", parts=21)
    with pytest.raises(UsageError, match="'top1' is not a metric of a multi-label task"):
        fit(align([member("a")]), "top1")


def test_fusion_needs_no_torch() -> None:
    code = "import sys, tinkit.fusion, tinkit.scores, tinkit.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
