"""The ways to fuse on members of known worth: no scale decides, gradients are right, what is lacking is made up for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from benchmarks.fusion_worlds import SETTINGS, Drawn, World
from tinkit.fusion import METHODS, Examples, FusionMethod, Member, Options, align
from tinkit.fusion.arrays import Learned
from tinkit.fusion.choosing.crossfit import options_for
from tinkit.fusion.combine import Combination
from tinkit.fusion.scales import to_one_spread
from tinkit.fusion.ways import losses, stack
from tinkit.fusion.ways.spread import spread_of
from tinkit.metrics import METRICS, MetricName, Task, challenge_metric, check_metric
from tinkit.scores import Kind, ScoreInfo, ScoreTable

CLASSES = 16
TASKS: tuple[Task, ...] = ("multi-label", "single-label")


@functools.cache
def drawn(task: Task) -> tuple[Drawn, Drawn]:
    """Clips to fit on and fresh ones."""
    world = World(3, task, SETTINGS["noise"], CLASSES)
    return world.draw(0, 200), world.draw(1, 500)


def members_of(
    one: Drawn, task: Task, change: Sequence[tuple[float, NDArray[np.float32]]] | None = None
) -> list[Member]:
    info = ScoreInfo("logits", task, tuple(map(str, range(CLASSES))), "d", "1", "val")
    ids = [str(clip) for clip in range(len(one.labels))]
    labels = [tuple(np.flatnonzero(row).tolist()) for row in one.labels]
    scores = (
        [own * np.float32(by) + shift for own, (by, shift) in zip(one.scores, change, strict=True)]
        if change
        else one.scores
    )
    return [
        Member(str(k), ScoreTable(info, ids, own, np.ones(len(ids), bool), [*labels], [str(s) for s in one.source]))
        for k, own in enumerate(scores)
    ]


def fresh_points(row: FusionMethod, task: Task, by: float, at: int, shifted: bool) -> float:
    """What ``row`` gives on fresh clips where the member ``at`` has its logits multiplied by ``by``, in points."""
    given, fresh = drawn(task)
    metric = check_metric(challenge_metric(task), task)

    def changed(one: Drawn) -> list[Member]:
        shift = (
            np.random.default_rng(5).normal(0, 3, (len(one.labels), 1)).astype(np.float32)
            if shifted
            else np.zeros((1, 1), np.float32)
        )
        change = [
            (by if k == at else 1.0, shift if k == at else np.zeros((1, 1), np.float32)) for k in range(len(one.scores))
        ]
        return members_of(one, task, change)

    members = changed(given)
    kind: Kind = row.kind_taken(["logits"], "logits")
    scale = to_one_spread(members)
    aligned = align(members, kind=kind, scale=scale)
    options = options_for(aligned, metric, 0, {"member_weights": [1.0] * 13} if row.name == "by-hand" else {})
    learned = row.fit(Examples(aligned.scores, given.labels, given.source), options) if row.fit else row.start(options)
    table = Combination(row.apply, learned, row.gives).table(align(changed(fresh), kind=kind, scale=scale))
    return 100 * METRICS[metric].on(fresh.labels)(table.scores)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("row", METHODS.values(), ids=lambda row: row.name)
def test_no_members_scale_decides(row: FusionMethod, task: Task) -> None:
    plain = fresh_points(row, task, 1.0, 2, shifted=False)
    logits_only = row.takes in ("logits", "ranks", None) and row.gives != "probabilities"
    for by in (0.01, 30.0):
        # A clip's constant changes its sigmoids: it is nothing to a softmax, a ranking or what takes means off.
        shifted = by > 1 and (logits_only or task == "single-label")
        assert fresh_points(row, task, by, 2, shifted=shifted) == pytest.approx(plain, abs=0.05)


@pytest.mark.parametrize("name", ["stack", "stack-classes", "stack-mixed"])
def test_stacking_is_worth_more_than_the_mean_on_fresh_clips(name: str) -> None:
    for task in TASKS:
        found = {way: fresh_points(METHODS[way], task, 1.0, 0, shifted=False) for way in (name, "mean-logits")}
        assert found[name] > found["mean-logits"] + 1


def test_the_losses_are_what_they_are_called() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(0, 2, (7, 5)), random.random((7, 5)) < 0.4
    labels[:, 0] = False  # a clip without labels counts nothing
    labels[:, 1] = True
    wanted = 0.0
    for clip in range(5):
        negatives = np.exp(scores[~labels[:, clip], clip]).sum()
        own = scores[labels[:, clip], clip]
        wanted += np.mean(np.log(np.exp(own) + negatives) - own) if own.size else 0.0
    assert losses.listwise(labels)(scores.astype(np.float32))[0] == pytest.approx(wanted, rel=1e-5)
    single = np.eye(7, dtype=bool)[:, [0, 3, 3, 6, 2]]
    entropy = -log_softmax(scores, axis=0)[single].sum()
    assert losses.listwise(single)(scores.astype(np.float32))[0] == pytest.approx(entropy, rel=1e-5)
    crossed = -np.log(np.where(labels, expit(scores), 1 - expit(scores))).sum()
    assert losses.pairwise(labels)(scores.astype(np.float32))[0] == pytest.approx(crossed, rel=1e-5)


@pytest.mark.parametrize("metric", ["sample_map", "class_map"])
def test_the_gradient_of_stacking_is_that_of_its_value(metric: MetricName) -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(4, 6, 3)).astype(np.float32)
    labels = random.random((4, 6)) < 0.5
    labels[2] = False
    objective = stack._Objective(
        features, losses.loss_for(metric, labels), seen=labels.any(axis=1), mixed=features.mean(axis=2).copy()
    )
    at = random.normal(0, 0.3, objective.size)
    at[7 + 6 : 7 + 9] = 0  # the deviations of the class without a positive stay 0
    steps = 1e-2 * np.eye(objective.size)
    slope = np.array([(objective(at + step)[0] - objective(at - step)[0]) / 2e-2 for step in steps])
    slope[7 + 6 : 7 + 9] = 0
    np.testing.assert_allclose(objective(at)[1], slope, atol=1e-3)


def learned_stack(members: int, classes: int) -> Learned:
    random = np.random.default_rng(2)
    return {
        "weights": random.random(members), "bias": random.normal(size=classes), "scale": 1 + random.random(members),
        "centre": np.ones(1), "deviation": 0.1 * random.normal(size=(classes, members)),
        "mixing": 0.1 * random.normal(size=(classes, classes)), "shared": random.random(members),
    }  # fmt: skip


def test_stacking_is_the_formula_and_a_missing_member_is_made_up_for() -> None:
    scores = [np.random.default_rng(k).normal(size=(4, 5)).astype(np.float32) for k in range(3)]
    learned = learned_stack(3, 5)
    x = np.stack(
        [(own - own.mean(axis=1, keepdims=True)) / s for own, s in zip(scores, learned["scale"], strict=True)], 2
    )
    f = x @ learned["shared"]
    wanted = ((learned["weights"] + learned["deviation"]) * x).sum(axis=2) + learned["bias"] + f @ learned["mixing"].T
    valid = np.ones((3, 4), bool)
    np.testing.assert_allclose(stack.apply_stack(scores, valid, learned), wanted, rtol=1e-5)
    valid[1, 2] = False
    scores[1][2] = np.nan
    whole = learned["weights"] + learned["deviation"]
    grown = whole * (whole.sum(axis=1) / whole[:, [0, 2]].sum(axis=1))[:, None]
    shared = learned["shared"] * learned["shared"].sum() / learned["shared"][[0, 2]].sum()
    kept = x[2][:, [0, 2]]
    row = (grown[:, [0, 2]] * kept).sum(axis=1) + learned["bias"] + learned["mixing"] @ (kept @ shared[[0, 2]])
    found = stack.apply_stack(scores, valid, learned)
    np.testing.assert_allclose(found[2], row, rtol=1e-5)
    np.testing.assert_allclose(found[[0, 1, 3]], wanted[[0, 1, 3]], rtol=1e-5)


def test_a_class_without_a_positive_keeps_the_shared_weights() -> None:
    given, _ = drawn("multi-label")
    labels = given.labels.copy()
    labels[:, 4] = False
    kept = labels.any(axis=1)
    examples = Examples([own[kept] for own in given.scores], labels[kept], given.source[kept])
    learned = METHODS["stack-classes"].fit(examples, Options(13, CLASSES, "sample_map"))  # type: ignore[misc]
    assert not learned["deviation"][4].any()
    assert np.abs(learned["deviation"][:4]).max() > 0
    assert learned["bias"][4] < 0
    assert all(np.isfinite(values).all() for values in learned.values())
    assert (learned["weights"] >= 0).all()


def test_a_power_mean_lies_between_the_geometric_and_the_arithmetic_mean() -> None:
    probabilities = [np.array([[0.2, 0.9]], np.float32), np.array([[0.8, 0.9]], np.float32)]
    valid = np.ones((2, 1), bool)
    apply = METHODS["power-mean"].apply
    found = [
        apply(probabilities, valid, {"weights": np.full(2, 0.5), "power": np.array([power])})[0]
        for power in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(np.array(found)[:, 0], [0.4, ((0.2**0.5 + 0.8**0.5) / 2) ** 2, 0.5], rtol=1e-5)
    np.testing.assert_allclose(np.array(found)[:, 1], 0.9, rtol=1e-6)


def test_temperatures_calibrate_an_overconfident_member() -> None:
    given, _ = drawn("single-label")
    scores = [given.scores[0], given.scores[0] * 20]
    options = Options(2, CLASSES, "top1")
    learned = METHODS["temperatures"].fit(Examples(scores, given.labels, given.source), options)  # type: ignore[misc]
    assert learned["temperature"][1] / learned["temperature"][0] == pytest.approx(20, rel=1e-3)
    fused = METHODS["temperatures"].apply(scores, np.ones((2, 200), bool), learned)
    np.testing.assert_allclose(fused.sum(axis=1), 1, rtol=1e-6)
    sure = fused.max(axis=1).mean()
    assert sure == pytest.approx((fused.argmax(axis=1) == given.labels.argmax(axis=1)).mean(), abs=0.05)


def test_the_spread_is_that_around_each_clips_mean_and_one_of_what_says_nothing() -> None:
    scores = (
        np.random.default_rng(0).normal(0, 3, (500, 8)).astype(np.float32) + np.arange(500, dtype=np.float32)[:, None]
    )
    centred = scores - scores.mean(axis=1, keepdims=True)
    assert spread_of(scores) == pytest.approx(centred.std(), rel=1e-4)
    assert spread_of(np.full((4, 3), 7, np.float32)) == 1
    assert spread_of(np.full((4, 3), np.nan, np.float32)) == 1


def test_by_hand_is_the_mean_with_ones_own_weights() -> None:
    given, _ = drawn("multi-label")
    members = members_of(given, "multi-label")[:2]
    aligned = align(members)
    options = options_for(aligned, "sample_map", 0, {"member_weights": [1.5, 1.0], "scale": "none"})
    row = METHODS["by-hand"]
    fused = Combination(row.apply, row.start(options)).table(aligned)
    np.testing.assert_allclose(fused.scores, (1.5 * given.scores[0] + given.scores[1]) / 2.5, rtol=1e-5, atol=1e-5)
    alike = dataclasses.replace(options, keys={"member_weights": [1.5, 1.0]}, spreads=np.array([2.0, 1.0]))
    np.testing.assert_allclose(row.start(alike)["weights"], [0.75 / 1.75, 1 / 1.75])
