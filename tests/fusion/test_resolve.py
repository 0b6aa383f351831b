"""From the names of runs and files to score files: what is found, and what an error says of what is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.helpers.fusion_members import scores_of, write_run
from tinkit.errors import UsageError, UserError
from tinkit.fusion import MemberSpec, members_of, resolve_members
from tinkit.scores import write_scores


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path, "good")
    return tmp_path


def refusal(spec: MemberSpec, runs: Path, *splits: str) -> UserError:
    with pytest.raises(UserError) as caught:
        resolve_members([spec], splits, runs)
    return caught.value


def test_a_run_without_scores_of_a_split(runs: Path) -> None:
    error = refusal(MemberSpec(run="good"), runs, "val", "train")
    assert error.file == str(runs / "good" / "scores")
    assert error.problem == "member 'good' has no scores of split 'train'"
    assert error.expected == "one file; there are: test-1x1-best.arrow, val-1x1-best.arrow"
    assert error.fix == "`tinkit test good --split train`"
    error = refusal(MemberSpec(run="good", views="2x3", weights="last"), runs, "val")
    assert error.problem == "member 'good' has no scores of split 'val' with --views 2x3 --weights last"
    assert error.fix == "`tinkit test good --split val --views 2x3 --weights last`"


def test_a_run_with_several_files_of_a_split(runs: Path) -> None:
    write_run(runs, "good", views="2x3")
    error = refusal(MemberSpec(run="good"), runs, "val")
    assert error.file == str(runs / "good" / "scores")
    assert error.problem == "member 'good' has 2 score files of split 'val': val-1x1-best.arrow, val-2x3-best.arrow"
    (member,) = resolve_members([MemberSpec(run="good", views="2x3")], ["val"], runs)
    assert member.files == {"val": runs / "good" / "scores" / "val-2x3-best.arrow"}


def test_a_run_that_is_not_there(runs: Path) -> None:
    error = refusal(MemberSpec(run="bad", views="2x3"), runs, "val", "test")
    assert error.problem == f"member 'bad': there is no such run under {runs}"
    assert error.fix is not None
    assert "`tinkit test bad --split val --views 2x3`" in error.fix


def test_a_split_without_a_file_says_how_to_make_one(runs: Path, tmp_path: Path) -> None:
    val = runs / "good" / "scores" / "val-1x1-best.arrow"
    error = refusal(MemberSpec(scores={"val": val}), runs, "val", "test")
    assert error.problem == f"no score file of split 'test' beside {val}"
    assert error.expected == "a file for each of: val, test"
    assert error.fix == (
        "name the file that `tinkit test good --split test --views 1x1 --weights best` makes, "
        "or leave the split out: --fit none, --apply none"
    )
    nameless = tmp_path / "nameless.arrow"
    table = scores_of("x", "val")
    write_scores(nameless, dataclasses.replace(table, info=dataclasses.replace(table.info, run="")))
    error = refusal(MemberSpec(scores={"val": nameless}), runs, "val", "test")
    assert error.fix == (
        "name the file that `tinkit test RUN --split test --views 1x1 --weights best` makes, or say in a toml which "
        f'files are one model\'s ([[members]] with scores = {{val = "{nameless}", test = "..."}}), '
        "or leave the split out: --fit none, --apply none"
    )


def test_a_file_of_another_split_than_it_is_named_for(runs: Path) -> None:
    val = runs / "good" / "scores" / "val-1x1-best.arrow"
    error = refusal(MemberSpec(scores={"test": val}), runs, "test")
    assert (error.file, error.problem) == (str(val), "holds split 'val', named as 'test'")


def test_two_files_of_one_split_are_told_by_what_they_share(runs: Path) -> None:
    first, table = runs / "good" / "scores" / "val-1x1-best.arrow", scores_of("good", "val")
    words = [str(first), str(first)]
    with pytest.raises(UsageError) as caught:
        members_of(words, runs, None, None)
    assert caught.value.problem == f"{first} and {first} are both of split 'val' and of good 1x1 best logits {{}}"
    second = runs / "view.arrow"
    write_scores(second, dataclasses.replace(table, info=dataclasses.replace(table.info, view=0)))
    specs = members_of([str(first), str(second)], runs, None, None)
    assert [spec.scores for spec in specs] == [{"val": first}, {"val": second}]  # a view is another model
