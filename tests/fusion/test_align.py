"""Members side by side, and their means."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import rankdata

from tests.helpers.fusion_members import member, scores_of
from tinkit.errors import UserError
from tinkit.fusion import Member, align, combine
from tinkit.scores import ScoreTable, take_rows


def changed(run: str, **changes: Any) -> Member:
    """The member ``run`` with other columns, or with other facts in its info."""
    base = member(run)
    columns = {k: v for k, v in changes.items() if k in ("ids", "scores", "valid", "labels", "source")}
    facts = {k: v for k, v in changes.items() if k not in columns}
    table = dataclasses.replace(base.table, **columns, info=dataclasses.replace(base.table.info, **facts))
    return dataclasses.replace(base, table=table)


def rows(run: str, order: Any) -> Member:
    base = member(run)
    return dataclasses.replace(base, table=take_rows(base.table, np.asarray(order)))


def test_order_of_rows_may_differ() -> None:
    order = np.random.default_rng(0).permutation(60)
    same, mixed = align([member("a"), member("b")]), align([member("a"), rows("b", order)])
    assert list(mixed.ids) == member("a").table.ids
    assert list(mixed.labels) == member("a").table.labels
    assert list(mixed.source) == member("a").table.source
    for ours, theirs in zip(same.scores, mixed.scores, strict=True):
        np.testing.assert_array_equal(ours, theirs)


CLASSES = member("a").table.info.classes


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (rows("b", range(58)), "lacks clips that 'a' has: 'val/58.mp4', 'val/59.mp4'"),
        (changed("b", ids=[*member("a").table.ids[:59], "other"]), "lacks clips that 'a' has: 'val/59.mp4'"),
        (rows("b", [*range(60), 7]), "has a clip twice: 'val/7.mp4'"),
        (changed("b", classes=(*CLASSES[:4], CLASSES[5], CLASSES[4])), "the same classes in another order: class 4"),
        (changed("b", classes=(*CLASSES[:5], "another")), "other classes: class 5 is 'another', not 'class 5'"),
        (member("b", classes=7), "has 7 classes, 'a' has 6"),
        (changed("b", split="test"), "split 'test', 'a' has 'val'"),
        (changed("b", dataset_version="2"), "dataset_version '2'"),
        (changed("b", dataset="other"), "dataset 'other'"),
        (changed("b", task="single-label"), "task 'single-label'"),
        (changed("b", kind="ranks"), "kind 'ranks'"),
        (
            changed("b", labels=[*member("a").table.labels[:59], (0, 1, 2, 3)]),
            "clip 'val/59.mp4' has labels [0, 1, 2, 3]",
        ),
        (
            changed("b", valid=np.arange(60) != 3),
            "has no scores for clips (they could not be decoded, or have no sound): 'val/3.mp4'",
        ),
        (changed("b", scores=np.full((60, 6), np.nan, np.float32)), "has scores that cannot be logits"),
    ],
)
def test_what_cannot_be_aligned_is_named(second: Member, said: str) -> None:
    with pytest.raises(UserError) as caught:
        align([member("a"), second])
    assert said in caught.value.problem
    assert caught.value.file == "b.arrow"


def test_a_clip_too_many_and_two_of_one_name() -> None:
    with pytest.raises(UserError, match=r"'b' has clips that 'a' lacks: 'val/59\.mp4'"):
        align([rows("a", range(59)), member("b")])
    with pytest.raises(UserError, match="'a' has a clip twice"):
        align([rows("a", [0, 1, 1]), rows("b", [0, 1])])
    with pytest.raises(UserError, match="two members are called 'a'"):
        align([member("a"), member("a")])
    with pytest.raises(UserError, match="no members"):
        align([])


def test_three_clips_are_named_and_more_are_counted() -> None:
    for kept, names in (
        (57, "'val/57.mp4', 'val/58.mp4', 'val/59.mp4'"),
        (50, "'val/50.mp4', 'val/51.mp4', 'val/52.mp4' and 7 more"),
    ):
        with pytest.raises(UserError) as caught:
            align([member("a"), rows("b", range(kept))])
        assert caught.value.problem == f"member 'b' lacks clips that 'a' has: {names}"
        assert caught.value.file == "b.arrow"


def test_labels_and_sources_come_from_a_member_that_knows_them() -> None:
    base = member("a").table
    blind = changed("x", labels=[None] * 60, source=base.ids)
    aligned = align([blind, rows("b", range(59, -1, -1))])
    assert list(aligned.labels) == base.labels
    assert list(aligned.source) == base.source
    half = changed("b", labels=[*base.labels[:30], *[None] * 30])
    assert list(align([half, member("a")]).labels) == base.labels
    turned = [None if own is None else own[::-1] for own in base.labels]
    assert len(align([member("a"), changed("b", labels=turned)]).ids) == 60


def test_means_are_numpys() -> None:
    members = [member("a"), member("b"), member("c")]
    logits = np.stack([m.table.scores for m in members])
    mean = combine(align(members), name="f")
    np.testing.assert_allclose(mean.scores, logits.mean(axis=0), atol=1e-6)
    assert (mean.info.kind, mean.info.run, mean.info.views, mean.info.trained_on) == ("logits", "f", "1x1", ("train",))
    assert (mean.info.average, mean.info.weights, mean.info.trial) == ("logits", "best", False)
    unlike = changed("b", average="probabilities", views="2x3", weights="last", trained_on=("more",), trial=True)
    mixed = combine(align([member("a"), unlike])).info
    assert (mixed.average, mixed.views, mixed.weights, mixed.trial) == ("mixed", "mixed", "mixed", True)
    assert mixed.trained_on == ("more", "train")
    weights = np.array([0.5, 0.5, 0])
    np.testing.assert_allclose(combine(align(members), weights).scores, logits[:2].mean(axis=0), atol=1e-6)
    squashed = combine(align(members, kind="probabilities"))
    np.testing.assert_allclose(squashed.scores, expit(logits).mean(axis=0), atol=1e-6)
    assert squashed.info.kind == "probabilities"
    ranked = combine(align(members, kind="ranks"))
    np.testing.assert_allclose(ranked.scores, ((rankdata(logits, axis=2) - 1) / 5).mean(axis=0), atol=1e-6)
    for bad in ([0.5, 0.6, 0], [1.5, -0.5, 0], [1, 0]):
        with pytest.raises(ValueError, match="sum to 1"):
            combine(align(members), np.array(bad))


def test_kinds_are_made_alike_or_refused() -> None:
    a, b = member("a"), member("b")
    squashed = changed("b", kind="probabilities", scores=expit(b.table.scores))
    with pytest.raises(UserError, match="kind 'probabilities'"):
        align([a, squashed])
    np.testing.assert_allclose(align([a, squashed], kind="logits").scores[1], b.table.scores, atol=1e-4)
    np.testing.assert_array_equal(align([a, squashed], kind="probabilities").scores[1], expit(b.table.scores))
    ranked = changed("b", kind="ranks", scores=np.zeros((60, 6), np.float32))
    with pytest.raises(UserError, match="member 'b': ranks cannot be turned into logits"):
        align([a, ranked], kind="logits")


def test_missing_clips_are_the_mean_of_the_others() -> None:
    a, b, c = (scores_of(run, clips=6) for run in "abc")
    lost = {0: (0,), 1: (0, 1), 2: (0, 1, 2), 3: (2,)}  # clip: members without it

    def holed(number: int, table: ScoreTable) -> Member:
        gone = np.array([number in lost.get(clip, ()) for clip in range(6)])
        scores = np.where(gone[:, None], np.float32("nan"), table.scores)
        return Member("abc"[number], dataclasses.replace(table, valid=~gone, scores=scores))

    members = [holed(number, table) for number, table in enumerate((a, b, c))]
    aligned = align(members, missing="mean")
    assert aligned.missing == {"a": 3, "b": 2, "c": 2}
    weights = np.array([0.25, 0.75, 0.0])
    fused = combine(aligned, weights)
    x, y, z = a.scores, b.scores, c.scores
    np.testing.assert_allclose(fused.scores[0], y[0], atol=1e-6)
    np.testing.assert_allclose(fused.scores[1], z[1], atol=1e-6)  # only the member of weight 0 has it
    assert np.isnan(fused.scores[2]).all()
    np.testing.assert_array_equal(fused.valid, [True, True, False, True, True, True])
    np.testing.assert_allclose(fused.scores[3], 0.25 * x[3] + 0.75 * y[3], atol=1e-6)
    np.testing.assert_allclose(combine(aligned).scores[3], (x[3] + y[3]) / 2, atol=1e-6)
    with pytest.raises(UserError, match=r"'a' has no scores for clips .*'val/0\.mp4', 'val/1\.mp4', 'val/2\.mp4'"):
        align(members)
