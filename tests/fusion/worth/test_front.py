"""Accuracy against speed: what each smaller fusion measures, which none beats, and what a budget leaves."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fusion_members import member, write_run
from tests.helpers.scored_runs import command
from tinkit.fusion import METHODS, Combination, align
from tinkit.fusion.choosing.estimate import BySource
from tinkit.fusion.combine import equal_mean
from tinkit.fusion.decide import Decision
from tinkit.fusion.record import read_record
from tinkit.fusion.worth.front import Front, Subset, front_of
from tinkit.fusion.worth.speeds import MemberSpeed
from tinkit.metrics import evaluate
from tinkit.scores import label_matrix, read_info, read_scores, write_scores
from tinkit.scores.speed import Speed, speed_file, write_speed

SPEEDS = {"good": 10.0, "fair": 100.0, "noise": 50.0, "slow": 2.0}


def test_the_front_is_that_of_all_subsets_that_were_measured() -> None:
    strengths = {"good": 2.5, "fair": 1.0, "noise": 0.0, "slow": 1.5}
    aligned = align([member(name, strength=value, clips=120) for name, value in strengths.items()])
    row = METHODS["mean-logits"]
    decision = Decision(row, "logits", np.ones(4), Combination(row.apply, {}), equal_mean(4))
    speeds = [MemberSpeed(SPEEDS[name], "a card") for name in aligned.names]
    found = front_of(aligned, decision, "sample_map", speeds)
    assert found.complete
    assert found.devices == ("a card",)
    spreads = [float((own - own.mean(axis=1, keepdims=True)).std()) for own in aligned.scores]
    labels = label_matrix(member("good", clips=120).table)
    points = []
    for one in found.subsets:
        scores = np.sum([aligned.scores[k] / spreads[k] for k in one.members], axis=0)
        value = evaluate(scores, labels, "multi-label")["sample_map"]
        assert one.by_source.value == pytest.approx(value, abs=1e-6)
        assert one.cost == pytest.approx(sum(1 / SPEEDS[aligned.names[k]] for k in one.members))
        points.append((1 / one.cost, one.by_source.value))
    sizes = [len(one.members) for one in found.subsets]
    assert sorted(sizes) == [1] * 4 + [2] * 3 + [3] * 4 + [4]
    for number, own in enumerate(points):
        beaten = any(other[0] >= own[0] and other[1] >= own[1] and other != own for other in points)
        assert found.on_front(number) == (not beaten)
    for budget in (1.0, 9.0, 20.0, 100.0):
        pick = found.pick(budget, 0)
        assert points[pick.number][1] == max(value for speed, value in points if speed >= budget)
        assert pick.expected <= points[pick.number][1]
    with pytest.raises(ValueError, match="no subset is within"):
        found.pick(101, 0)


def test_without_time_all_and_each_alone_are_measured() -> None:
    aligned = align([member(name, strength=1.0) for name in SPEEDS])
    row = METHODS["stack"]
    decision = Decision(row, "logits", np.ones(4), Combination(row.apply, {}), equal_mean(4))
    found = front_of(aligned, decision, "sample_map", [MemberSpeed(1.0)] * 4, minutes=0)
    assert not found.complete
    assert [len(one.members) for one in found.subsets] == [1, 1, 1, 1, 4]


def test_the_best_of_many_that_are_worth_nothing_is_expected_to_be_worth_nothing() -> None:
    random = np.random.default_rng(1)
    measured, expected = [], []
    pairs = list(itertools.combinations(range(5), 2))
    for _ in range(30):
        values = [BySource(random.normal(size=150), np.ones(150)) for _ in pairs]
        whole = Subset(tuple(range(5)), 1.0, BySource(np.zeros(150), np.ones(150)))
        subsets = [Subset(one, 0.5, value) for one, value in zip(pairs, values, strict=True)]
        pick = Front(tuple("abcde"), (*subsets, whole), 150, complete=True, devices=()).pick(2.0, 0)
        measured.append(subsets[pick.number].by_source.value)
        expected.append(pick.expected)
        assert pick.optimism == measured[-1] - expected[-1]
    assert np.mean(measured) > 0.08
    assert abs(np.mean(expected)) < np.mean(measured) / 3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs whose tests have recorded their speed."""
    monkeypatch.chdir(tmp_path)
    for name, strength in (("good", 2.0), ("fair", 1.2), ("slow", 1.5)):
        run = write_run(tmp_path / "runs", name, strength=strength, clips=90)
        for file in (run / "scores").glob("*.arrow"):
            write_speed(file, read_info(file), Speed(int(10 * SPEEDS[name]), 10.0, "a card"))
    return tmp_path


def test_a_budget_leaves_the_best_members_that_are_as_fast(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ensemble", "good", "fair", "slow", "--method", "mean-logits")
    assert command(monkeypatch, *words, "--budget", "9", "--name", "fast") == 0
    assert "good + fair (taken)" in capsys.readouterr().out
    record = json.loads((here / "fusions" / "fast" / "fusion.json").read_text())
    assert [one["name"] for one in record["members"]] == ["good", "fair"]
    assert [one["clips_per_s"] for one in record["members"]] == [10, 100]
    assert record["clips_per_s"] == pytest.approx(1 / (1 / 10 + 1 / 100))
    (picked,) = [one for one in record["front"]["subsets"] if one["picked"]]
    assert (picked["members"], picked["on_front"]) == (["good", "fair"], True)
    expected = read_record(here / "fusions" / "fast" / "fusion.json").expected("sample_map")
    assert expected is not None
    assert expected[1] == pytest.approx(record["metrics"]["fused"]["sample_map"] - record["front"]["optimism"])
    assert command(monkeypatch, *words, "--front", "--name", "all") == 0
    whole = json.loads((here / "fusions" / "all" / "fusion.json").read_text())
    assert len(whole["members"]) == 3
    assert whole["front"]["budget"] is None
    assert len(whole["front"]["subsets"]) == 7
    # A fusion is a member like any other, with a speed of its own.
    pair = ("ensemble", "fusions/fast", "runs/slow", "--method", "mean-logits", "--front", "--name", "both")
    assert command(monkeypatch, *pair) == 0
    both = json.loads((here / "fusions" / "both" / "fusion.json").read_text())
    assert both["clips_per_s"] == pytest.approx(1 / (1 / 10 + 1 / 100 + 1 / 2))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--budget", "200"], 1, "the fastest, fair, does 100"),
        (["--budget", "0"], 2, "budget"),
        (["--front", "--fit", "none"], 2, "needs a labelled split"),
    ],
)
def test_what_no_budget_can_be_is_said(
    here: Path,
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, "ensemble", "good", "fair", "--method", "mean-logits", *words) == code
    assert said in capsys.readouterr().err
    assert not (here / "fusions" / "fusion" / "fusion.json").exists()


def test_a_speed_that_is_not_known_is_asked_for_and_can_be_said(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (here / "runs" / "slow" / "scores").glob("*.speed.json"):
        file.unlink()
    assert command(monkeypatch, "ensemble", "good", "slow", "--method", "mean-logits", "--front") == 1
    assert "the speed of slow is not known" in capsys.readouterr().err
    toml = 'method = "mean-logits"\nfront = true\n[[members]]\nrun = "good"\n[[members]]\nrun = "slow"\nspeed = {}\n'
    for speed in (4.0, 5.0):
        (here / "mine.toml").write_text(toml.format(speed))
        assert command(monkeypatch, "ensemble", "mine.toml", "--force") == 0
        record = json.loads((here / "fusions" / "fusion" / "fusion.json").read_text())
        assert record["clips_per_s"] == pytest.approx(1 / (1 / 10 + 1 / speed))
    (here / "mine.toml").write_text(toml.format(6))
    assert command(monkeypatch, "ensemble", "mine.toml") == 1  # another fusion: not taken for the one that is there
    assert "exists already" in capsys.readouterr().err


def test_a_fusion_whose_weights_by_hand_have_changed_is_another(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = '[[members]]\nrun = "good"\nweight = {}\n[[members]]\nrun = "slow"\n'
    (here / "mine.toml").write_text(toml.format(2))
    assert command(monkeypatch, "ensemble", "mine.toml") == 0
    assert command(monkeypatch, "ensemble", "mine.toml") == 0
    (here / "mine.toml").write_text(toml.format(3))
    assert command(monkeypatch, "ensemble", "mine.toml") == 1
    assert "exists already" in capsys.readouterr().err


def with_gflops(here: Path, **said: float) -> None:
    """The score files of the runs ``said``, without a speed, say so many GFLOPs."""
    for name, value in said.items():
        for file in (here / "runs" / name / "scores").glob("*.arrow"):
            speed_file(file).unlink()
            table = read_scores(file)
            write_scores(file, dataclasses.replace(table, info=dataclasses.replace(table.info, gflops=value)))


def test_without_a_speed_members_are_compared_by_gflops_and_that_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_gflops(here, good=30.0, fair=4.0)
    words = ("ensemble", "good", "fair", "--method", "mean-logits", "--front")
    assert command(monkeypatch, *words, "--name", "light") == 0
    out = capsys.readouterr().out
    assert "accuracy against GFLOPs: the best of 3 fusions" in out
    assert "since the speed of some members is not known" in out
    record = json.loads((here / "fusions" / "light" / "fusion.json").read_text())
    assert (record["front"]["by"], record["gflops"], record["clips_per_s"]) == ("GFLOPs", 34, None)
    costs = {tuple(one["members"]): one["gflops"] for one in record["front"]["subsets"]}
    assert costs == {("fair",): 4, ("good",): 30, ("good", "fair"): 34}
    assert all(one["clips_per_s"] is None for one in record["front"]["subsets"])
    # The fusion is a member that takes what its members take, and the lightest comes first.
    pair = ("ensemble", "fusions/light", "runs/fair", "--method", "mean-logits", "--name", "both")
    assert command(monkeypatch, *pair, "--budget-gflops", "34") == 0
    assert "picked among those of 34 GFLOPs and fewer" in capsys.readouterr().out
    both = json.loads((here / "fusions" / "both" / "fusion.json").read_text())
    taken = {tuple(one["members"]): one["picked"] for one in both["front"]["subsets"]}
    assert taken[("light", "fair")] is False  # 38
    assert sum(taken.values()) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--budget", "5"], 1, "--budget-gflops N"),
        (["--budget-gflops", "3"], 1, "the lightest, fair, takes 4"),
        (["--budget-gflops", "5", "--budget", "5"], 2, "two ways to say"),
        (["slow", "--front"], 1, "the speed of good, fair is not known"),
        (["slow", "--budget-gflops", "9"], 1, "the GFLOPs of slow are not known"),
    ],
)
def test_speeds_and_gflops_are_never_compared(
    here: Path,
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_gflops(here, good=30.0, fair=4.0)
    assert command(monkeypatch, "ensemble", "good", "fair", "--method", "mean-logits", *words) == code
    assert said in " ".join(capsys.readouterr().err.split())
