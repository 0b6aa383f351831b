"""What is found wrong with a submission before a byte is written, and how its clips are matched with a list."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.submission_tables import SINGLE, challenge, make_table
from tests.helpers.submissions import TWO, listing, refusal, write
from tinkit.submission import (
    plan_submission,
)


def test_one_id_too_many_and_one_too_few() -> None:
    assert "1 of 3 test clips have no row of scores: c" in refusal(TWO, challenge("mmit"), listing("a", "b", "c"))
    assert "1 clips are not in the list of test clips: b" in refusal(TWO, challenge("mmit"), listing("a"))
    both = refusal(TWO, challenge("mmit"), listing("a", "z"))
    assert "no row of scores: z" in both
    assert "not in the list of test clips: b" in both


def test_long_lists_are_cut_short() -> None:
    ids = [f"z{i}" for i in range(500)]
    assert "and 490 more" in refusal(TWO, challenge("mmit"), listing("a", "b", *ids))


def test_no_rows_at_all() -> None:
    assert "no clips" in refusal(make_table(np.zeros((0, 2))), challenge("mmit"))


def test_names_that_are_no_text() -> None:
    assert "cannot be written" in refusal(make_table([[0.5]], ids=["a\udcff.mp4"]), challenge("mmit"))


def test_doubled_score_rows() -> None:
    table = make_table([[0.5], [0.5]], ids=["a", "a"])
    for ids in (None, listing("a")):
        assert "'a' has two rows" in refusal(table, challenge("mmit"), ids)


def test_names_that_collide_under_the_rule() -> None:
    table = make_table([[0.5], [0.5]], ids=["a/x.mp4", "b/x.mp4"])
    assert "would both be called 'x.mp4'" in refusal(table, challenge("mmit", filename="basename"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(bad: float) -> None:
    table = make_table([[0.5, 0.5], [0.5, bad]], kind="logits")
    assert "not finite numbers: c1" in refusal(table, challenge("mmit"))


def test_probabilities_that_are_none() -> None:
    assert "not finite numbers from 0 to 1: c1" in refusal(make_table([[0.5], [1.5]]), challenge("mmit"))


def test_split_task_classes_and_kind() -> None:
    rules = challenge("mmit")
    assert "--split val" in refusal(make_table([[0.5]], split="val"), rules)
    plan = plan_submission(make_table([[0.5]], split="val"), rules, None, split="val")
    assert any("not of the test split" in note for note in plan.notes)
    assert "single-label" in refusal(make_table([[0.5]], task=SINGLE), rules)
    assert "challenge's 313" in refusal(TWO, challenge("mmit", num_classes=313))
    assert "cannot fill 5 labels" in refusal(make_table([[0.5]], task=SINGLE), challenge("sthv2"))
    assert "ranks" in refusal(make_table([[0.0, 1.0]], kind="ranks"), rules)


def test_ranks_are_welcome_where_labels_are_ranked(tmp_path: Path) -> None:
    rules = challenge("sthv2", top=2, metrics=("top1",))
    assert write(tmp_path, make_table([[0, 0.5, 1]], kind="ranks", task=SINGLE), rules) == "c0;2;1\n"
    as_they_are = challenge("mmit", header=False, values="any")
    assert write(tmp_path, make_table([[0, 0.5, 1]], kind="ranks"), as_they_are) == "c0,0,0.5,1\n"


def test_label_texts_that_cannot_stand_in_a_row() -> None:
    for classes, problem in (
        (["a;b", "c"], "holds the delimiter"),
        (["a", "a"], "both called"),
        (["a\n", "b"], "break"),
    ):
        table = make_table([[1, 0]], task=SINGLE, kind="logits", classes=classes)
        assert problem in refusal(table, challenge("sthv1"))


def test_where_no_id_matches_both_sides_are_shown() -> None:
    message = refusal(TWO, challenge("mmit"), listing("x y", "z"))
    assert "none of the 2 test clips" in message
    assert "the list has 'x y', the scores have 'a'" in message


def test_without_a_list_a_note_says_so() -> None:
    assert any("not checked" in note for note in plan_submission(TWO, challenge("mmit"), None).notes)
    assert plan_submission(TWO, challenge("mmit"), listing("a", "b")).notes == ()


def test_a_flat_folder_keeps_the_annotations_ids() -> None:
    table = make_table([[0.5], [0.25]], ids=["cat/b.mp4", "cat/a.mp4"])
    plan = plan_submission(table, challenge("mmit"), listing("a.mp4", "b.mp4", folder=True))
    assert plan.names == ["cat/a.mp4", "cat/b.mp4"]
    assert plan.parts[0].rows.tolist() == [1, 0]
    assert any("base name" in note for note in plan.notes)


def test_a_flat_list_is_the_organisers_own_word() -> None:
    table = make_table([[0.5], [0.25]], ids=["cat/b.mp4", "cat/a.mp4"])
    assert plan_submission(table, challenge("mmit"), listing("a.mp4", "b.mp4")).names == ["a.mp4", "b.mp4"]


def test_a_folder_of_webm_files_is_matched_by_stem() -> None:
    table = make_table([[0.0] * 5] * 2, ids=["6", "5"], task=SINGLE, kind="logits")
    assert plan_submission(table, challenge("sthv2"), listing("5.webm", "6.webm", folder=True)).names == ["5", "6"]


def test_clips_that_a_flat_list_cannot_tell_apart() -> None:
    table = make_table([[0.5]] * 3, ids=["a/x.mp4", "b/x.mp4", "c/y.mp4"])
    assert "are both 'x.mp4'" in refusal(table, challenge("mmit"), listing("x.mp4", "y.mp4"))


def test_a_header_that_cannot_stand_in_its_line() -> None:
    rules = challenge("mmit", quoting="none", id_column="file,name")
    assert "the header cannot be written: 'file,name' holds the delimiter" in refusal(TWO, rules)
