"""Fitted weights that are worth nothing are not used, and that is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.ensembles import ensemble, three_runs
from tests.helpers.fusion_members import write_run
from tinkit.metrics import evaluate
from tinkit.scores import label_matrix, read_scores, write_scores

SEARCH = ("--method", "search", "--scale", "none", "--parts", "5")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return three_runs(tmp_path)


def test_no_better_than_the_equal_mean_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b", "c"):
        write_run(tmp_path / "runs", run, strength=1.0)
    record = json.loads(ensemble("a", "b", "c", *SEARCH, "--json"))
    rejected = record["rejected"]
    # members alike: what the search finds is noise
    assert rejected["cross_validated"]["sample_map"] <= rejected["cross_validated_equal_mean"]["sample_map"]
    assert rejected["reason"] == "cross-validation"
    assert rejected["weights"] != [1 / 3] * 3
    assert rejected["fused"]["sample_map"] > record["metrics"]["equal_mean"]["sample_map"]  # which is optimistic
    assert [member["weight"] for member in record["members"]] == [1 / 3] * 3
    assert record["metrics"]["fused"] == record["metrics"]["equal_mean"]
    assert record["metrics"]["cross_validated"] is None
    shown = ensemble("a", "b", "c", *SEARCH, "--name", "g")
    assert "no better than the equal mean: the weights are equal" in shown
    assert "not used" in shown
    val = read_scores("fusions/g/val.arrow")
    mean = np.mean([read_scores(f"runs/{run}/scores/val-1x1-best.arrow").scores for run in "abc"], axis=0)
    np.testing.assert_allclose(val.scores, mean, atol=1e-5)
    assert val.info.trained_on == ("train",)  # its weights have seen nothing


@pytest.fixture
def lopsided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`a` is right on the first 30 clips of val, which all have; on the others, where `c` is missing, `b` is.

    Weights fitted on the first 30 ones are for `a`, and over all clips worse than equal ones.
    """
    monkeypatch.chdir(tmp_path)
    for number, run in enumerate("abc"):
        write_run(tmp_path / "runs", run, strength=0.0)
        path = tmp_path / "runs" / run / "scores" / "val-1x1-best.arrow"
        table = read_scores(path)
        marks = label_matrix(table).astype(np.float32)
        common = np.arange(60)[:, None] < 30
        noise = np.array(table.scores)
        own = [
            np.where(common, 2 * marks + noise, -3 * marks + noise),
            np.where(common, -marks + noise, 6 * marks + noise),
            noise,
        ][number]
        scores = np.where((number == 2) & ~common, np.float32("nan"), own).astype(np.float32)
        valid = np.ones(60, bool) if number < 2 else common[:, 0]
        write_scores(path, dataclasses.replace(table, scores=scores, valid=valid))
    return tmp_path / "runs"


def test_weights_worse_than_equal_ones_over_the_whole_split_are_not_used(lopsided: Path) -> None:
    shown = ensemble("a", "b", "c", *SEARCH, "--missing", "mean", "--name", "f")
    assert "over all clips, the fitted weights are no better than equal ones: the weights are equal" in shown
    assert "not used" in shown
    record = json.loads(Path("fusions/f/fusion.json").read_text())
    assert [member["weight"] for member in record["members"]] == [1 / 3] * 3
    assert record["fitted_on_clips"] == 30
    assert record["metrics"]["fused"] == record["metrics"]["equal_mean"]
    assert record["metrics"]["cross_validated"] is None
    assert record["rejected"]["fused"]["sample_map"] < record["metrics"]["equal_mean"]["sample_map"]
    assert record["rejected"]["weights"][0] > 0.5
    val = read_scores("fusions/f/val.arrow")
    members = np.stack([read_scores(f"runs/{run}/scores/val-1x1-best.arrow").scores for run in "abc"])
    np.testing.assert_allclose(val.scores, np.nanmean(members, axis=0), atol=1e-5)
    assert (
        record["metrics"]["fused"]["sample_map"] == evaluate(val.scores, label_matrix(val), "multi-label")["sample_map"]
    )


def test_the_estimate_is_compared_with_the_equal_mean_of_its_own_clips(runs: Path) -> None:
    path = runs / "noise" / "scores" / "val-1x1-best.arrow"
    table = read_scores(path)
    write_scores(path, dataclasses.replace(table, scores=np.array(table.scores), valid=np.arange(60) < 42))
    shown = ensemble("good", "noise", *SEARCH[:4], "--missing", "mean", "--name", "f", "--parts", "3")
    metrics = json.loads(Path("fusions/f/fusion.json").read_text())["metrics"]
    good, noise = (read_scores(runs / run / "scores" / "val-1x1-best.arrow") for run in ("good", "noise"))
    alike = (good.scores[:42] + noise.scores[:42]) / 2
    wanted = evaluate(alike, label_matrix(good)[:42], "multi-label")
    own = metrics["cross_validated_equal_mean"]
    assert own["sample_map"] == pytest.approx(wanted["sample_map"], abs=1e-6)
    assert own["counts"]["measured"] == metrics["cross_validated"]["counts"]["measured"] == 42
    assert metrics["equal_mean"]["counts"]["measured"] == 60
    # Not better than the equal mean of all clips, of which 18 have no noise in them; better than that of its own.
    assert own["sample_map"] < metrics["cross_validated"]["sample_map"]
    assert "no better than the equal mean" not in shown
    for row in ("equal mean, 42 clips", "fitted (cross-validated), 42 clips"):
        assert row in shown
