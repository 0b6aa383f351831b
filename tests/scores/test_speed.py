"""The speed of a test, beside its score file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.helpers.fusion_members import scores_of
from tinkit.errors import UserError
from tinkit.scores.speed import Speed, read_speed, speed_file, write_speed

SPEED = Speed(120, 8.0, "2 threads of a processor")


def test_it_is_read_back_for_the_scores_that_it_is_about(tmp_path: Path) -> None:
    info, scores = scores_of("a").info, tmp_path / "val-1x1-step=10.arrow"
    assert read_speed(scores, info) is None
    write_speed(scores, info, SPEED)
    assert read_speed(scores, info) == SPEED
    assert SPEED.clips_per_s == 15
    assert read_speed(tmp_path / "val-1x1-step=11.arrow", info) is None
    other = dataclasses.replace(info, hashes={"checkpoint": "another"})
    assert read_speed(scores, other) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"clips": 3, "seconds": 0, "device": "x"}',
        '{"clips": 3, "seconds": NaN, "device": "x"}',
        '{"clips": true, "seconds": 1, "device": "x"}', '{"clips": 1.5, "seconds": 1, "device": "x"}',
        '{"clips": 3, "seconds": 1, "device": null}', '{"clips": 3, "seconds": 1e999, "device": "x"}',
    ],
)  # fmt: skip
def test_what_is_not_a_speed_is_refused(tmp_path: Path, text: str) -> None:
    scores = tmp_path / "val.arrow"
    speed_file(scores).write_text(text)
    with pytest.raises(UserError, match="speed of a test"):
        read_speed(scores, scores_of("a").info)
