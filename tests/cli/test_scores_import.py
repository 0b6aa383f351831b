"""``tinkit scores import``: ids, classes, kinds and doubts, from a file on disk to a score file."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from typer.testing import CliRunner

from tests.helpers.foreign_files import DUMPS, EPIC
from tests.helpers.fusion_members import scores_of
from tinkit.cli.app import app
from tinkit.errors import UserError
from tinkit.scores import ScoreTable, read_scores, write_scores

FACTS = ("--task", "single-label", "--dataset", "toy", "--split", "val")


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["scores", "import", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(*words: str | Path) -> UserError:
    with pytest.raises(UserError) as caught:
        run(*words)
    return caught.value


@pytest.fixture
def like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScoreTable:
    monkeypatch.chdir(tmp_path)
    table = scores_of("ours")
    write_scores("like.arrow", table)
    return table


def named(path: str, ids: list[str], scores: np.ndarray, **more: object) -> str:
    np.savez(path, ids=np.array(ids), logits=scores, **more)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name: name, "verbatim"),
        (lambda name: f"/data/videos/{name}", "by their base names"),
        (lambda name: f"/data/{name}".removesuffix(".mp4") + ".webm", "by their stems"),
    ],
)
def test_ids_are_matched_as_a_submission_matches_them(like: ScoreTable, change: object, said: str) -> None:
    ids = [change(name) for name in like.ids]  # type: ignore[operator]
    file = named("theirs.npz", [*ids[::-1][:50], "stranger"], np.r_[like.scores[::-1][:50], like.scores[:1]])
    shown = run(file, "--like", "like.arrow", "--out", "out.arrow")
    assert f"51 clips, 50 of them known to like.arrow (ids match {said}), 0 without scores" in shown
    assert "1 clips are not known: 'stranger'" in shown
    assert "10 known clips have no row" in shown
    table = read_scores("out.arrow")
    assert list(table.ids) == [*list(like.ids)[::-1][:50], "stranger"]
    np.testing.assert_array_equal(table.scores[:50], like.scores[::-1][:50])
    assert list(table.labels)[:50] == list(like.labels)[::-1][:50]
    assert list(table.source)[:50] == list(like.source)[::-1][:50]


def test_no_known_id_is_an_error(like: ScoreTable) -> None:
    file = named("theirs.npz", [f"x{n}" for n in range(60)], like.scores)
    error = refused(file, "--like", "like.arrow", "--out", "out.arrow")
    assert error.exit_code == 1
    assert "none of its 60 clips is known: it has 'x0', the known file has 'val/0.mp4'" in error.problem
    assert not Path("out.arrow").exists()


def test_two_rows_of_one_clip_are_an_error(like: ScoreTable) -> None:
    file = named("theirs.npz", ["a/0.mp4", "b/0.mp4", "c/1.mp4"], like.scores[:3])
    assert "are both the clip 'val/0.mp4'" in refused(file, "--like", "like.arrow", "--out", "out.arrow").problem
    file = named("theirs.npz", ["val/0.mp4", "val/0.mp4"], like.scores[:2])
    assert "occurs twice: rows 1 and 2" in refused(file, "--like", "like.arrow", "--out", "out.arrow").problem


def write_annotation(path: Path, labels: list[int]) -> list[str]:
    ids = [f"clip{n}.mp4" for n in range(6)]
    path.write_text("".join(f"{name} {label}\n" for name, label in zip(ids, labels, strict=True)))
    return ids


def test_a_dump_of_mmaction2_takes_its_ids_from_the_annotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = softmax(np.loadtxt(DUMPS / "truth.csv", delimiter=","), axis=1)
    labels = [0, 3, 2, 4, 1, 0]
    ids = write_annotation(Path("val.txt"), labels)
    Path("classes.txt").write_text("a\nb\nc\nd\ne\n")
    dump, out = DUMPS / "mmaction2_late.pkl", tmp_path / "o.arrow"
    assert "has no ids" in refused(dump, "--out", out, "--kind", "logits", "--classes", "classes.txt", *FACTS).problem
    error = refused(dump, "--out", out, "--classes", "classes.txt", "--ids", "val.txt", *FACTS)
    assert (error.exit_code, "does not say what its scores are" in error.problem) == (2, True)
    options = ["--out", out, "--kind", "probabilities", "--classes", "classes.txt", "--ids", "val.txt"]
    assert "6 clips, 0 without scores" in run(dump, *options, *FACTS)
    table = read_scores(out)
    assert list(table.ids) == ids
    assert list(table.labels) == [(label,) for label in labels]
    np.testing.assert_allclose(table.scores, truth, atol=1e-6)
    options[-1] = "wrong.txt"
    write_annotation(Path("wrong.txt"), labels[::-1])
    write_scores("like.arrow", dataclasses.replace(table, labels=[(label,) for label in labels[::-1]]))
    error = refused(dump, "--force", "--like", "like.arrow", *options)
    assert "labels in the file are not those that are known: 'clip0.mp4' has [0], known is [0]" not in error.problem
    assert "of 6 labels in the file are not those that are known" in error.problem
    Path("short.txt").write_text("clip0.mp4 0\n")
    assert (
        "has 6 rows, and the list of ids 1"
        in refused(
            dump, "--out", out, "--force", "--kind", "logits", "--classes", "classes.txt", "--ids", "short.txt", *FACTS
        ).problem
    )
    assert (
        "has ids of its own"
        in refused(
            named("n.npz", ids, truth), "--out", out, "--force", "--classes", "classes.txt", "--ids", "val.txt", *FACTS
        ).problem
    )


def test_sums_over_views_are_questioned_and_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_annotation(Path("val.txt"), [0] * 6)
    Path("classes.txt").write_text("a\nb\nc\nd\ne\n")
    options = ["--classes", "classes.txt", "--ids", "val.txt", *FACTS, "--force", "--out", "o.arrow"]
    dump = DUMPS / "pyslowfast_sum30.pkl"
    assert "every row adds up to 30" in run(dump, "--kind", "logits", *options)
    assert "cannot be probabilities" in refused(dump, "--kind", "probabilities", *options).problem
    shown = run(dump, "--kind", "probabilities", "--sum-of", "30", *options)
    assert "adds up" not in shown
    np.testing.assert_allclose(read_scores("o.arrow").scores.sum(axis=1), 1, atol=1e-4)


def test_logits_within_0_and_1_are_questioned(like: ScoreTable) -> None:
    file = named("theirs.npz", list(like.ids), expit(like.scores))
    shown = run(file, "--like", "like.arrow", "--out", "out.arrow")
    assert "all logits lie between 0 and 1: are they probabilities?" in shown
    file = named("theirs.npz", list(like.ids), like.scores)
    assert "?" not in run(file, "--like", "like.arrow", "--out", "out.arrow", "--force")
    flat = named("theirs.npz", list(like.ids), np.repeat(like.scores[:, :1], 6, axis=1))
    assert "they tell nothing" in run(flat, "--like", "like.arrow", "--out", "out.arrow", "--force")


def test_classes_are_put_in_order_by_name_and_labels_with_them(like: ScoreTable) -> None:
    order = [3, 1, 0, 2, 5, 4]
    Path("theirs.txt").write_text("".join(f'"{like.info.classes[k].upper()}"\n' for k in order))
    first = [own[0] for own in like.labels]
    theirs = {
        "scores": like.scores[:, order].tolist(),
        "ids": list(like.ids),
        "gt_label": [order.index(k) for k in first],
    }
    Path("theirs.json").write_text(json.dumps(theirs))
    shown = run(
        "theirs.json", "--classes", "theirs.txt", "--like", "like.arrow", "--kind", "logits", "--out", "out.arrow"
    )
    assert "columns named by class, but for capitals and punctuation, and put in their order" in shown
    assert "labels in the file are not those" in shown  # of clips with several
    table = read_scores("out.arrow")
    np.testing.assert_array_equal(table.scores, like.scores)
    assert list(table.labels) == list(like.labels)
    run("theirs.json", "--classes", "theirs.txt", "--kind", "logits", "--out", "alone.arrow", *FACTS)
    alone = read_scores("alone.arrow")
    assert alone.info.classes == tuple(like.info.classes[k].upper() for k in order)
    assert list(alone.labels) == [(order.index(k),) for k in first]


def test_two_heads_are_two_score_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("epic.pkl").write_bytes(pickle.dumps(EPIC))
    torch.save(EPIC, "epic.pt")
    for file in ("epic.pkl", "epic.pt"):
        options = [file, "--kind", "logits", "--out", "o.arrow", "--force", *FACTS]
        assert "2 heads: verb, noun" in refused(*options).problem
        for head, count in (("verb", 5), ("noun", 3)):
            Path("c.csv").write_text("id,key,instances\n" + "".join(f"{k},{head} {k},x\n" for k in range(count)))
            assert "6 clips" in run(*options, "--head", head, "--classes", "c.csv")
            assert read_scores("o.arrow").info.classes == tuple(f"{head} {k}" for k in range(count))
        assert "has no head 'action'" in refused(*options, "--head", "action").problem


def test_rows_that_are_not_finite_are_said(like: ScoreTable) -> None:
    scores = np.array(like.scores)
    scores[3] = np.nan
    scores[5, 2], scores[7, 1] = np.inf, np.nan
    file = named("theirs.npz", list(like.ids), scores)
    error = refused(file, "--like", "like.arrow", "--out", "out.arrow")
    assert error.problem == "row 6 ('val/5.mp4') has infinite scores, and 1 more rows are like it"
    shown = run(file, "--like", "like.arrow", "--out", "out.arrow", "--non-finite", "null")
    assert "2 rows with missing or infinite scores are clips without scores: 'val/5.mp4', 'val/7.mp4'" in shown
    assert "3 without scores" in shown
    np.testing.assert_array_equal(read_scores("out.arrow").valid, ~np.isin(np.arange(60), (3, 5, 7)))


def test_options_that_cannot_be(like: ScoreTable) -> None:
    file = named("theirs.npz", list(like.ids), like.scores)
    assert "is not a delimiter" in refused(file, "--like", "like.arrow", "--out", "o", "--delimiter", ";;").problem
    assert "leave out --task" in refused(file, "--like", "like.arrow", "--out", "o", *FACTS).problem
    assert "has no 'x'" in refused(file, "--like", "like.arrow", "--out", "o", "--scores", "x").problem
    assert "has no 'x'" in refused(file, "--like", "like.arrow", "--out", "o", "--id-column", "x").problem
    assert "no such file" in refused("none.npz", "--like", "like.arrow", "--out", "o").problem
