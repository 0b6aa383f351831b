"""A rehearsal gives what the organisers would: from the text of the file, by the challenge's metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from tests.helpers.submission_tables import MULTI, SINGLE, challenge, make_table
from tinkit.errors import UserError
from tinkit.submission import Rehearsal, plan_submission, read_answers, rehearse, write_submission


def score(tmp_path: Path, name: str, content: str, answers: str, **options: object) -> Rehearsal:
    (tmp_path / "sub").write_text(content)
    (tmp_path / "answers.csv").write_text(answers)
    return rehearse(tmp_path / "sub", challenge(name), read_answers(tmp_path / "answers.csv"), **options)  # type: ignore[arg-type]


def test_multi_label_against_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 5)).astype(np.float32)
    labels = (rng.random((60, 5)) < 0.3).astype(np.uint8)
    labels[7] = 0
    table = make_table(logits, kind="logits", task=MULTI)
    out = tmp_path / "sub.csv"
    write_submission(plan_submission(table, challenge("mmit"), None), out, inputs={}, ids=None)
    order = rng.permutation(60)
    lines = [f"c{i},{' '.join(str(c) for c in np.flatnonzero(labels[i]))}\n" for i in order]
    (tmp_path / "answers.csv").write_text("id,labels\n" + "".join(lines))
    got = rehearse(out, challenge("mmit"), read_answers(tmp_path / "answers.csv"))
    kept = labels.any(axis=1)
    samples = [average_precision_score(y, x) for y, x in zip(labels[kept], logits[kept], strict=True)]
    classes = [average_precision_score(labels[:, c], logits[:, c]) for c in range(5)]
    assert got.metrics == pytest.approx(
        {
            "sample_map": np.mean(samples),
            "class_map": np.mean(classes),
            "micro_map": average_precision_score(labels.ravel(), logits.ravel()),
        },
        abs=1e-9,
    )
    assert (got.clips, got.unlabelled) == (60, int((~kept).sum()))


def test_single_label_against_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(80, 9)).astype(np.float32)
    truth = rng.integers(0, 9, 80)
    truth[:9] = range(9)
    answers = "id,labels\n" + "".join(f"c{i},{c}\n" for i, c in enumerate(truth))
    (tmp_path / "answers.csv").write_text(answers)
    hidden = read_answers(tmp_path / "answers.csv")
    classes = [f"Doing {i}" for i in range(9)]
    table = make_table(logits, kind="logits", task=SINGLE, classes=classes)
    top1 = top_k_accuracy_score(truth, logits, k=1)
    top5 = top_k_accuracy_score(truth, logits, k=5)
    wanted = {
        "sthv1": {"top1": top1},
        "sthv2": {"top1": top1, "top5": top5},
        "mit2018": {"mean_top1_top5_error": ((1 - top1) + (1 - top5)) / 2, "top1": top1, "top5": top5},
    }
    for name, metrics in wanted.items():
        out = tmp_path / name / "sub"
        write_submission(plan_submission(table, challenge(name), None), out, inputs={}, ids=None)
        got = rehearse(out, challenge(name), hidden, classes=classes)
        assert got.metrics == pytest.approx(metrics, abs=1e-12)
        assert list(got.metrics) == list(challenge(name).metrics)


def test_it_is_the_text_that_is_scored(tmp_path: Path) -> None:
    answers = "id,labels\na,1\nb,0\n"
    assert score(tmp_path, "sthv2", "a;0;1;2;3;4\nb;0;1;2;3;4\n", answers).metrics == {"top1": 0.5, "top5": 1.0}
    got = score(tmp_path, "mmit", "filename,score_0,score_1\na,0.9,0.1\nb,0.9,0.1\n", answers).metrics
    assert got["sample_map"] == pytest.approx(0.75)


def test_names_are_the_leaderboards(tmp_path: Path) -> None:
    answers = 'id,labels\n"cat/a,1.mp4",1\ncat/b.mp4,0\n'
    got = score(tmp_path, "mit2018", "b.mp4 0 1 2 3 4\na,1.mp4 0 1 2 3 4\n", answers, num_classes=5)
    assert got.metrics["top1"] == 0.5


def test_texts_need_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which class is which"):
        score(tmp_path, "sthv1", "a;Holding\n", "id,labels\na,0\n")
    assert score(tmp_path, "sthv1", "a;Holding\n", "id,labels\na,0\n", classes=["Holding"]).metrics == {"top1": 1.0}


@pytest.mark.parametrize(
    ("answers", "line", "problem"),
    [
        ("a,0\n", 1, "the header"),
        ("", None, "holds no answers"),
        ("id,labels\n", None, "holds no answers"),
        ("id,labels\na,0,1\n", 2, "no answer"),
        ("id,labels\na,x\n", 2, "no answer"),
        ("id,labels\na,-1\n", 2, "no answer"),
        ("id,labels\na,0\n\na,1\n", 4, "in line 2"),
        ("id,labels\na,7\n", 2, "there is no class 7"),
        ("id,labels\na,0 1\n", 2, "2 labels"),
        ("id,labels\na,\n", 2, "0 labels"),
        ("id,labels\nb,0\n", 1, "no answer for 'a'"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, answers: str, line: int | None, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        score(tmp_path, "sthv2", "a;0;1;2;3;4\n", answers, num_classes=6)
    assert caught.value.line == line
