"""What a fusion measures, and when fitted weights are not worth using; and a record of it that is damaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.fusion_members import member
from tinkit.errors import UserError
from tinkit.fusion import METHODS, Aligned, Combination, Fitted, align
from tinkit.fusion.combine import equal_mean
from tinkit.fusion.measure import Measured, measure_fusion
from tinkit.fusion.record import read_record
from tinkit.metrics import Metrics, sample_map
from tinkit.scores import label_matrix


def measured(aligned: Aligned, weights: list[float], estimate: float, equal: float) -> Measured:
    """What is measured of fitted weights whose estimate is as told, beside that of equal ones."""
    alike, own = (Metrics("multi-label", {"sample_map": value}) for value in (equal, estimate))
    learned = {"weights": np.array(weights)}
    fitted = Fitted("sample_map", learned, 60, 60, own, alike, (learned,))
    found = measure_fusion(aligned, Combination(METHODS["search"].apply, learned), fitted, "sample_map")
    assert found is not None
    return found


def test_a_clip_that_all_members_miss_is_left_out_of_what_is_measured() -> None:
    members = [member("a", strength=2.0), member("b")]
    gone = np.arange(60) == 7
    holed = [
        dataclasses.replace(one, table=dataclasses.replace(one.table, valid=~gone, scores=one.table.scores))
        for one in members
    ]
    found = measure_fusion(align(holed, missing="mean"), equal_mean(2), None, "sample_map")
    assert found is not None
    kept = [one.table.scores[~gone] for one in members]
    labels = label_matrix(members[0].table)[~gone]
    assert found.equal["sample_map"] == pytest.approx(sample_map((kept[0] + kept[1]) / 2, labels), abs=1e-6)
    assert found.members[0]["sample_map"] == pytest.approx(sample_map(kept[0], labels), abs=1e-9)
    assert found.fused is found.equal
    assert found.equal.counts["without_scores"] == 1


@pytest.mark.parametrize(
    ("weights", "estimate", "reason"),
    [
        ([1.0, 0.0], 0.6, None),
        ([1.0, 0.0], 0.5, "cross-validation"),  # as good is not better
        ([1.0, 0.0], 0.4, "cross-validation"),
        ([0.0, 1.0], 0.6, "whole split"),
        ([0.5, 0.5], 0.4, None),  # equal weights themselves
    ],
)
def test_weights_that_are_no_better_than_equal_ones_are_not_used(
    weights: list[float], estimate: float, reason: str | None
) -> None:
    aligned = align([member("good", strength=3.0), member("noise", strength=0.0)])
    found = measured(aligned, weights, estimate, 0.5)
    assert found.reason == reason
    assert (found.rejected is None) == (reason is None)
    assert (
        found.fused.values
        == (found.members[int(weights[1])] if reason is None and 1.0 in weights else found.equal).values
    )


def test_weights_that_are_as_good_as_equal_ones_over_the_whole_split_are_not_used() -> None:
    aligned = align([member("a"), dataclasses.replace(member("a"), name="b")])
    found = measured(aligned, [0.75, 0.25], 0.6, 0.5)
    assert found.equal["sample_map"] == found.members[0]["sample_map"]  # any mean of the two is the same
    assert found.reason == "whole split"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"fit": "val", "outputs": {"val": {"path": "val.arrow"}}, "metrics": {}}', "outputs.val.digest: "),
        ('{"fit": "val", "outputs": {}, "metrics": {"cross_validated": {}}}', "metrics.cross_validated.counts: "),
        ("[", "not the record of a fusion: not valid JSON: "),
    ],
)
def test_a_damaged_record_says_where(tmp_path: Path, content: str, said: Any) -> None:
    path = tmp_path / "fusion.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_record(path)
    assert said in caught.value.problem
    assert caught.value.file == str(path)
