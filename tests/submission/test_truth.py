"""The ground truth of ActivityNet and Kinetics as answers, and as a list of clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.scored_runs import command
from tests.helpers.submission_tables import SINGLE, challenge, make_table
from tinkit.errors import UserError
from tinkit.scores import write_scores
from tinkit.submission import judge_submission, plan_submission, read_answers, write_submission
from tinkit.submission.ids import read_ids

CLASSES = ("abseiling", "air drumming", "zumba")
IDS = ["-3B32lodo2M", "a_b_c_d_e_f", "QOlSCBRmfWY", "xxxxxxxxxxx"]
TRUE = [2, 0, 1, 2]


def entry(subset: str, *labels: str) -> dict[str, Any]:
    annotations = [{"label": label, "segment": [0.0, 10.0]} for label in labels]
    return {"subset": subset, "annotations": annotations, "url": "https://youtu.be/x", "duration": 10.0}


def database() -> dict[str, Any]:
    videos = {name: entry("validation", CLASSES[true]) for name, true in zip(IDS, TRUE, strict=True)}
    return videos | {"trainedupon": entry("training", "zumba"), "hiddenvideo": entry("testing")}


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """The validation clips by their files' names, of which two are right, as Kinetics wants them."""
    scores = np.eye(3, dtype=np.float32)[[2, 0, 0, 0]]
    clips = [f"zumba/{name}_000001_000011.mp4" for name in IDS]
    table = make_table(scores, ids=clips, task=SINGLE, classes=CLASSES, split="val")
    write_scores(tmp_path / "val.arrow", table)
    rules, out = challenge("kinetics"), tmp_path / "sub.json"
    answers = {"external_data": False, "external_details": ""}
    write_submission(plan_submission(table, rules, None, split="val", answers=answers), out, inputs={}, ids=None)
    return out


@pytest.mark.parametrize("bare", [False, True])
def test_a_submission_is_scored_against_the_truth(submission: Path, bare: bool) -> None:
    content = database()
    if bare:  # as Kinetics' own files: one annotation a video, and only the videos of one subset
        content = {name: one | {"annotations": one["annotations"][0]} for name, one in content.items() if name in IDS}
    truth = written(submission.with_name("truth.json"), content if bare else {"version": "1", "database": content})
    categories = submission.with_name("classes.txt")
    categories.write_text("".join(f"{name}\n" for name in CLASSES))
    report, rehearsal = judge_submission(
        submission, "kinetics", answers=truth, categories=categories, split=None if bare else "val"
    )
    assert report.ok, report.problems
    assert "the answers are the labelled videos of the subset validation" in report.notes
    assert rehearsal is not None
    assert (rehearsal.clips, rehearsal.metrics["top1"], rehearsal.metrics["top5"]) == (4, 0.5, 1.0)


def test_scores_are_measured_against_the_truth_of_their_split(
    submission: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = written(submission.with_name("truth.json"), {"database": database()})
    scores = str(submission.with_name("val.arrow"))
    assert command(monkeypatch, "scores", "show", scores, "--answers", str(truth), "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["metrics"]["top1"] == 0.5
    assert command(monkeypatch, "inspect", scores, "--answers", str(truth)) == 0
    assert "top1 50.00" in capsys.readouterr().out


def test_a_truth_is_a_list_of_clips(tmp_path: Path) -> None:
    truth = written(tmp_path / "truth.json", {"database": database()})
    assert read_ids(truth, "val").ids == tuple(IDS)
    assert read_ids(truth, "test").ids == ("hiddenvideo",)
    with pytest.raises(UserError, match="holds 3 subsets"):
        read_ids(truth)


@pytest.mark.parametrize(
    ("content", "split", "said"),
    [
        ({"database": database()}, None, "holds 2 subsets with labels"),
        ({"database": database()}, "test", "no subset 'test' with labels"),
        ({"database": {"a": entry("validation", "zumb")}}, None, "did you mean 'zumba'"),
        ({"database": {"a": {"annotations": []}}}, None, "no subset"),
        ({"database": {"a": {"subset": "validation", "annotations": [{"label": 3}]}}}, None, "not a text"),
        ({"database": {"a": {"subset": "validation", "annotations": ["zumba"]}}}, None, "not a text"),
        ({"database": []}, None, "holds no videos"),
        ([1, 2], None, "holds no videos"),
        ("zumba", None, "holds no videos"),
    ],
)
def test_what_is_not_a_truth_is_refused(tmp_path: Path, content: object, split: str | None, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_answers(written(tmp_path / "truth.json", content), classes=CLASSES, split=split)
    assert said in str(caught.value)


def test_a_doubled_video_and_classes_without_a_number_are_refused(tmp_path: Path) -> None:
    one = json.dumps(entry("validation", "zumba"))
    path = tmp_path / "truth.json"
    path.write_text(f'{{"database": {{"a": {one}, "a": {one}}}}}')
    with pytest.raises(UserError, match="'a' is there twice"):
        read_answers(path, classes=CLASSES)
    with pytest.raises(UserError, match="--categories"):
        read_answers(written(path, {"database": {"a": entry("validation", "zumba")}}))
