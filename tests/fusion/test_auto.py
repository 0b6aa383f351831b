"""``auto``: what it takes, what it says that is worth, and that what is no better is not used."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.helpers.fusion_members import member
from tinkit.fusion import Aligned, align
from tinkit.fusion.choice import Choice, choose, repeated_choice, simplest
from tinkit.fusion.estimate import BySource, by_source, difference_interval, standard_error
from tinkit.metrics import METRICS, MetricName, Task
from tinkit.scores import Kind


def values(*means: float, apart: float = 0.0) -> list[BySource]:
    """Ways that are worth ``means``, over 200 sources of one clip; ``apart`` is how much they differ by source."""
    random = np.random.default_rng(0)
    noise = [apart * random.normal(size=200) for _ in means]
    return [BySource(mean + own - own.mean(), np.ones(200)) for mean, own in zip(means, noise, strict=True)]


def test_within_a_standard_error_the_simplest_is_taken() -> None:
    assert simplest(values(0.5, 0.6, 0.601)) == 2
    assert simplest(values(0.5, 0.6, 0.601, apart=0.1)) == 1
    assert simplest(values(0.6, 0.6, 0.601, apart=0.1)) == 0
    assert simplest(values(0.7, 0.6, 0.5)) == 0
    first, second = values(0.5, 0.6, apart=0.2)
    assert standard_error(first, second) == pytest.approx((first.totals - second.totals).std() / 200**0.5)


def test_a_choice_among_many_that_are_worth_nothing_is_estimated_as_nothing() -> None:
    random = np.random.default_rng(4)
    optimistic, honest = [], []
    for _ in range(30):
        ways = [
            BySource(np.zeros(150), np.ones(150)),
            *(BySource(random.normal(size=150), np.ones(150)) for _ in range(8)),
        ]
        taken = simplest(ways)
        optimistic.append(ways[taken].value)
        honest.append(repeated_choice(ways, ways, 0))
    assert np.mean(optimistic) > 0.05
    assert abs(np.mean(honest)) < np.mean(optimistic) / 3


@pytest.mark.parametrize("metric", ["sample_map", "class_map", "micro_map", "top1", "top5"])
def test_a_metric_by_source_is_the_metric(metric: MetricName) -> None:
    task: Task = METRICS[metric].task
    one = member("a", strength=1.5, clips=120, classes=8, task=task).table
    labels = np.zeros((120, 8), bool)
    for row, own in enumerate(one.labels):
        labels[row, list(own or ())] = True
    found = by_source(metric, one.scores, labels, np.arange(120) // 3)
    exact = metric in ("sample_map", "top1", "top5")
    assert found.value == pytest.approx(METRICS[metric].on(labels)(one.scores), abs=1e-12 if exact else 0.02)
    interval = difference_interval(found, BySource(0 * found.totals, found.counts), 0)
    assert interval.low < found.value < interval.high


def chosen(strengths: dict[str, float], task: Task = "multi-label", **options: float) -> Choice:
    members = [member(run, strength=value, clips=150, classes=8, task=task) for run, value in strengths.items()]

    @functools.cache
    def aligned_as(kind: Kind) -> Aligned:
        return align(members, kind=kind)

    metric: MetricName = "sample_map" if task == "multi-label" else "top1"
    return choose(aligned_as, ["logits"] * len(members), metric, parts=4, **options)[2]  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multi-label", "single-label"])
def test_members_that_differ_are_weighted_and_the_worth_is_told(task: Task) -> None:
    found = chosen({"good": 2.5, "fair": 1.0, "noise": 0.0, "noisier": 0.0}, task)
    assert found.name.startswith("stack")
    assert found.improvement.low > 0.02
    assert found.improvement.low < found.improvement.value < found.improvement.high
    assert found.improvement.value <= found.optimistic
    assert [one.name for one in found.candidates[:2]] == ["mean-logits", "mean-probabilities"]


def test_members_that_are_alike_are_not_weighted() -> None:
    found = chosen({f"run {number}": 1.5 for number in range(5)})
    assert found.name in ("mean-logits", "mean-probabilities")
    assert found.improvement.value <= 0.005


def test_what_would_take_too_long_is_left_out_and_said() -> None:
    found = chosen({"good": 2.5, "noise": 0.0}, minutes=1e-6)
    assert set(found.skipped) == {"stack-classes", "stack-mixed"}
    assert found.name in ("mean-logits", "mean-probabilities")
