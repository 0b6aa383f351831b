"""``auto``: what it takes, what it says that is worth, and that what is no better is not used."""

from __future__ import annotations

import functools
from functools import partial

import numpy as np
import pytest

from tests.helpers.fusion_members import member
from tinkit.fusion import Aligned, align
from tinkit.fusion.choosing.choice import Choice, choose, repeated_choice, simplest
from tinkit.fusion.choosing.estimate import BySource, by_source, difference_interval, standard_error
from tinkit.fusion.choosing.likelihood import likelihood_by_source, log_likelihood
from tinkit.metrics import METRICS, MetricName, Task
from tinkit.scores import Kind


def values(*means: float, apart: float = 0.0) -> list[BySource]:
    """Ways that are worth ``means``, over 200 sources of one clip; ``apart`` is how much they differ by source."""
    random = np.random.default_rng(0)
    noise = [apart * random.normal(size=200) for _ in means]
    return [BySource(mean + own - own.mean(), np.ones(200)) for mean, own in zip(means, noise, strict=True)]


def test_within_a_standard_error_the_simplest_is_taken() -> None:
    assert simplest([values(0.5, 0.6, 0.601)]) == 2
    assert simplest([values(0.5, 0.6, 0.601, apart=0.1)]) == 1
    assert simplest([values(0.6, 0.6, 0.601, apart=0.1)]) == 0
    assert simplest([values(0.7, 0.6, 0.5)]) == 0
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
        taken = simplest([ways])
        optimistic.append(ways[taken].value)
        honest.append(repeated_choice(partial(simplest, [ways]), ways, 0))
    assert np.mean(optimistic) > 0.05
    assert abs(np.mean(honest)) < np.mean(optimistic) / 3


def test_a_choice_that_no_draw_would_change_is_worth_what_it_measures() -> None:
    ways = values(0.5, 0.7, apart=0.2)
    ways[1] = BySource(ways[1].totals + 1.0, ways[1].counts)  # ahead by so much that chance decides nothing
    assert repeated_choice(partial(simplest, [ways]), ways, 0) == pytest.approx(
        ways[1].value - ways[0].value, abs=1e-12
    )


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


@pytest.mark.parametrize("labels_a_clip", [1, 3])
def test_the_likelihood_is_that_of_the_softmax_after_one_temperature(labels_a_clip: int) -> None:
    random = np.random.default_rng(5)
    logits = random.normal(size=(300, 7))
    powers = np.exp(logits)
    labels = np.zeros((300, 7), bool)
    for row, own in enumerate(powers):  # drawn as the logits say, so that no other temperature is as likely
        labels[row, random.choice(7, labels_a_clip, replace=False, p=own / own.sum())] = True
    wanted = []
    for row, own in enumerate(powers):
        lacking = own[~labels[row]].sum()
        wanted.append(np.mean([np.log(one / (one + lacking)) for one in own[labels[row]]]))
    np.testing.assert_allclose(log_likelihood(logits, labels), wanted, rtol=1e-12)
    source = np.arange(300) // 3
    found = [
        likelihood_by_source((factor * logits + shift).astype(np.float32), labels, source, "logits")
        for factor, shift in ((1.0, 0.0), (0.01, 3.0), (30.0, -5.0))
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.totals, found[0].totals, rtol=1e-3)
    assert found[0].value >= np.mean(wanted) - 1e-6  # the best temperature is no worse than that of the draw
    assert found[0].value == pytest.approx(np.mean(wanted), abs=0.02)
    shares = powers / powers.sum(axis=1, keepdims=True)
    if labels_a_clip == 1:
        by_shares = likelihood_by_source(shares.astype(np.float32), labels, source, "probabilities")
        np.testing.assert_allclose(by_shares.totals, found[0].totals, rtol=1e-3)


def test_ways_that_hit_alike_are_told_apart_by_the_likelihood() -> None:
    """Two ways with the same accuracy on 200 clips, of which one ranks the right class second where it misses."""
    random = np.random.default_rng(2)
    truth = random.integers(0, 10, 200)
    labels = np.eye(10, dtype=bool)[truth]
    hits = random.random(200) < 0.6
    scores = [0.3 * random.normal(size=(200, 10)) for _ in range(2)]
    for rank, own in enumerate(scores):
        own[np.arange(200), truth] += np.where(hits, 3.0, 1.5 * rank)
        own[np.arange(200), (truth + 1) % 10] += np.where(hits, 0.0, 3.0)
    source = np.arange(200)
    plain, better = (by_source("top1", own.astype(np.float32), labels, source) for own in scores)
    assert plain.value == pytest.approx(better.value, abs=0.02)
    likely = [likelihood_by_source(own.astype(np.float32), labels, source, "logits") for own in scores]
    assert simplest([[plain, better]]) == 0
    assert simplest([[plain, better], likely]) == 1
    assert simplest([likely, likely[::-1]]) == 1  # each calls another the best: the first decides
