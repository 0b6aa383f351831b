"""What members are worth: the good one much, noise and a copy nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.helpers.fusion_members import member
from tinkit.fusion import METHODS, Combination, align
from tinkit.fusion.combine import equal_mean
from tinkit.fusion.decide import Decision
from tinkit.fusion.worth.account import account_of
from tinkit.metrics import evaluate
from tinkit.scores import label_matrix


def test_a_member_is_worth_what_is_lost_without_it() -> None:
    good = member("good", strength=2.5, clips=120)
    copy = dataclasses.replace(good, name="copy")
    aligned = align([good, copy, member("fair", strength=1.0, clips=120), member("noise", strength=0.0, clips=120)])
    row = METHODS["mean-logits"]
    decision = Decision(row, "logits", np.ones(4), Combination(row.apply, row.start), equal_mean(4))  # type: ignore[arg-type]
    found = account_of(aligned, decision, "sample_map")
    spreads = [float((own - own.mean(axis=1, keepdims=True)).std()) for own in aligned.scores]
    labels = label_matrix(good.table)

    def measured(kept: list[int]) -> float:
        scores = np.sum([aligned.scores[k] / spreads[k] for k in kept], axis=0)
        return evaluate(scores, labels, "multi-label")["sample_map"]

    whole = measured([0, 1, 2, 3])
    for number, one in enumerate(found.members):
        without = measured([k for k in range(4) if k != number])
        assert one.worth == pytest.approx(whole - without, abs=1e-6)
        assert one.standard_error is not None
        assert one.can_go == (whole - without <= one.standard_error)
    assert found.members[0].worth == found.members[1].worth
    assert found.members[3].can_go
    assert found.correlation[0, 1] == pytest.approx(1)
    assert abs(found.correlation[0, 3]) < 0.2
    np.testing.assert_allclose(found.by_class, 0, atol=1e-9)  # it is the equal mean


def test_weights_by_hand_are_those_that_worth_is_measured_with() -> None:
    aligned = align([member("good", strength=2.5, clips=90), member("noise", strength=0.0, clips=90)])
    row = METHODS["by-hand"]
    keys = {"scale": "none", "member_weights": [1.0, 0.0]}
    decision = Decision(row, "logits", np.ones(2), Combination(row.apply, {}), equal_mean(2), keys=keys)
    found = account_of(aligned, decision, "sample_map")
    assert found.members[1].worth == pytest.approx(0, abs=1e-9)  # it has no weight
    labels = label_matrix(member("good", clips=90).table)
    alone = evaluate(aligned.scores[0], labels, "multi-label")["sample_map"]
    nothing = evaluate(np.zeros_like(aligned.scores[0]), labels, "multi-label")["sample_map"]
    assert found.members[0].worth == pytest.approx(alone - nothing, abs=1e-6)


def test_what_would_take_too_long_is_left_open() -> None:
    aligned = align([member("good", strength=2.5), member("noise", strength=0.0)])
    row = METHODS["stack"]
    decision = Decision(row, "logits", np.ones(2), Combination(row.apply, {}), equal_mean(2))
    found = account_of(aligned, decision, "sample_map", minutes=1e-9)
    assert [one.worth for one in found.members] == [None, None]
    assert found.together is None
