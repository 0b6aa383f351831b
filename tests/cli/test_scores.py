"""``tinkit scores``: show, diff, merge and import."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from typer.testing import CliRunner

from tests.helpers.fusion_members import scores_of
from tinkit.cli.app import app
from tinkit.errors import UserError
from tinkit.metrics import evaluate
from tinkit.scores import ScoreTable, label_matrix, read_scores, take_rows, write_scores


def scores(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["scores", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def refused(*words: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["scores", *map(str, words)], catch_exceptions=False)
    return str(caught.value)


def saved(path: Path, table: ScoreTable) -> Path:
    write_scores(path, table)
    return path


def answers(path: Path, table: ScoreTable) -> Path:
    lines = [f"{name},{' '.join(map(str, own or ()))}" for name, own in zip(table.ids, table.labels, strict=True)]
    path.write_text("\n".join(["id,labels", *lines]) + "\n")
    return path


def test_show_measures_labels_of_the_file_or_of_the_answers(tmp_path: Path) -> None:
    truth = scores_of("r", "test", strength=1.5)
    wanted = evaluate(truth.scores, label_matrix(truth), "multi-label").values
    labelled = saved(tmp_path / "l.arrow", truth)
    blind = saved(tmp_path / "b.arrow", dataclasses.replace(truth, labels=[None] * 60))
    given = answers(tmp_path / "answers.csv", truth)
    assert json.loads(scores("show", labelled, "--json"))[0]["metrics"] == wanted
    assert json.loads(scores("show", blind, "--json"))[0]["metrics"] is None
    assert json.loads(scores("show", blind, "--json", "--answers", given))[0]["metrics"] == wanted
    shown = scores("show", blind, "--answers", given)
    for word in ("toy, version 1", "checkpoint of r", "sample_map", f"{100 * wanted['sample_map']:.2f}"):
        assert word in shown


def test_answers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = scores_of("r", "test")
    blind = saved(tmp_path / "b.arrow", dataclasses.replace(table, labels=[None] * 60))
    few = answers(tmp_path / "few.csv", take_rows(table, np.arange(59)))
    assert "few.csv: has no answer for clip 'test/59.mp4'" in refused("show", blind, "--answers", few)
    wrong = answers(tmp_path / "wrong.csv", dataclasses.replace(table, labels=[(6,)] * 60))
    assert "clip 'test/0.mp4' has labels [6]" in refused("show", blind, "--answers", wrong)


def test_diff_of_a_file_with_itself_and_with_another(tmp_path: Path) -> None:
    base = scores_of("r")
    first = saved(tmp_path / "a.arrow", base)
    assert "no" in scores("diff", first, first)
    moved = np.array(base.scores)
    moved[7, 2] += 0.75
    other = dataclasses.replace(
        take_rows(dataclasses.replace(base, scores=moved, valid=np.arange(60) != 4), np.arange(59, 0, -1)),
        info=dataclasses.replace(base.info, weights="last"),
    )
    rows = json.loads(scores("diff", first, saved(tmp_path / "b.arrow", other), "--json", code=1))
    found = {row["what"]: (row["first"], row["second"]) for row in rows}
    assert found["weights"] == ("best", "last")
    assert found["clips"] == (60, 59)
    assert found["clips only here"] == (1, 0)
    assert found["clips in both"][0] == 59
    assert found["in another order"][0] == "yes"
    assert found["clips scored in one only"][0] == 1
    assert found["largest difference"][0] == "0.75"
    assert found["largest difference at"][0] == "val/7.mp4"
    assert float(found["mean difference"][0]) == pytest.approx(0.75 / (58 * 6), rel=1e-2)


def test_diff_of_other_classes_and_labels(tmp_path: Path) -> None:
    base = scores_of("r")
    relabelled = dataclasses.replace(
        base,
        labels=[(0,), *base.labels[1:]] if base.labels[0] != (0,) else [(1,), *base.labels[1:]],
        info=dataclasses.replace(base.info, classes=tuple("abcdef")),
    )
    a, b = saved(tmp_path / "a.arrow", base), saved(tmp_path / "b.arrow", relabelled)
    found = {row["what"]: row["first"] for row in json.loads(scores("diff", a, b, "--json", code=1))}
    assert found["clips with other labels"] == 1
    assert found["largest difference"] is None


def test_shards_merge_into_the_whole(tmp_path: Path) -> None:
    base = dataclasses.replace(scores_of("r"), valid=np.arange(60) != 30)
    paths = [
        saved(tmp_path / f"{n}.arrow", take_rows(base, rows))
        for n, rows in enumerate((np.arange(25), np.arange(25, 26), np.arange(26, 60)))
    ]
    out = tmp_path / "whole.arrow"
    scores("merge", *paths, "--out", out)
    merged = read_scores(out)
    assert (merged.info, list(merged.ids), list(merged.labels)) == (base.info, base.ids, base.labels)
    np.testing.assert_array_equal(merged.scores[base.valid], base.scores[base.valid])
    np.testing.assert_array_equal(merged.valid, base.valid)
    before = out.read_bytes()
    assert "exists already" in refused("merge", *paths[:2], "--out", out)
    assert "exists already" in scores("merge", *paths, "--out", out)
    assert "is read here" in refused("merge", *paths, "--out", paths[0], "--force")
    message = refused("merge", *paths, paths[1], "--out", tmp_path / "x.arrow")
    assert "clip 'val/25.mp4' is in" in message
    other = saved(tmp_path / "o.arrow", scores_of("r", "test"))
    assert "o.arrow: has other split" in refused("merge", paths[0], other, "--out", out, "--force")
    assert out.read_bytes() == before
    assert not (tmp_path / "x.arrow").exists()


def csv_of(path: Path, table: ScoreTable, header: list[str]) -> Path:
    lines = [
        ",".join([name, *(f"{value:.8g}" for value in row)]) for name, row in zip(table.ids, table.scores, strict=True)
    ]
    path.write_text("\n".join([",".join(["video", *header]), *lines]) + "\n")
    return path


def test_import_of_csv_takes_the_rest_from_another_file(tmp_path: Path) -> None:
    base = scores_of("ours")
    like = saved(tmp_path / "like.arrow", base)
    theirs = dataclasses.replace(base, scores=expit(base.scores))
    order = [3, 1, 0, 2, 5, 4]
    turned = dataclasses.replace(theirs, scores=theirs.scores[:, order])
    named = csv_of(tmp_path / "named.csv", turned, [base.info.classes[i] for i in order])
    numbered = csv_of(tmp_path / "numbered.csv", theirs, [f"score_{i}" for i in range(6)])
    for file in (named, numbered):
        out = file.with_suffix(".arrow")
        assert "60 clips, 60 of them known" in scores(
            "import", file, "--out", out, "--like", like, "--kind", "probabilities", "--trained-on", "train"
        )
        read = read_scores(out)
        np.testing.assert_allclose(read.scores, theirs.scores, rtol=1e-6)
        assert list(read.labels) == base.labels
        assert list(read.source) == base.source
        assert (read.info.kind, read.info.run, read.info.trained_on) == ("probabilities", file.stem, ("train",))
        assert read.info.classes == base.info.classes


def test_import_of_npz_and_without_another_file(tmp_path: Path) -> None:
    base = scores_of("ours")
    values = np.array(base.scores)
    values[4] = np.nan
    np.savez(tmp_path / "t.npz", ids=np.array(base.ids), scores=values, classes=np.array(base.info.classes))
    facts = ["--kind", "logits", "--task", "multi-label", "--dataset", "toy", "--split", "val", "--run", "theirs"]
    assert "1 without scores" in scores("import", tmp_path / "t.npz", "--out", tmp_path / "t.arrow", *facts)
    read = read_scores(tmp_path / "t.arrow")
    assert (read.info.run, read.info.dataset, read.info.classes) == ("theirs", "toy", base.info.classes)
    assert list(read.source) == base.ids
    np.testing.assert_array_equal(read.valid, np.arange(60) != 4)
    np.testing.assert_array_equal(read.scores[read.valid], base.scores[read.valid])
    lines = ["id,up,down", "a,1,2", "b,,", "c,3,4"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    scores("import", tmp_path / "t.csv", "--out", tmp_path / "c.arrow", *facts)
    read = read_scores(tmp_path / "c.arrow")
    assert read.info.classes == ("up", "down")
    np.testing.assert_array_equal(read.valid, [True, False, True])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,class 0,class 1\na,1,2\n", "2 columns of scores"),
        ("id,class 0,class 1,class 2,class 3,class 4,clas 5\na,1,2,3,4,5,6\n", "'clas 5' is not a class; did you mean"),
        ("id,0,1,2,3,4,4\na,1,2,3,4,5,6\n", "same name"),
        ("id,1,2,3,4,5,7\na,1,2,3,4,5,6\n", "not numbered 0, 1, ..."),
        ("id,0,1,2,3,4,5\na,1,2,3,4,5,6\n", "none of its 1 clips is known: it has 'a', the known file has 'val/0.mp4'"),
        ("id,0,1,2,3,4,5\na,1,2,3,4,5,6\na,1,2,3,4,5,6\n", "id 'a' occurs twice: rows 1 and 2"),
        ("id,0,1,2,3,4,5\na,1,2,3,4,5,6\nb,1,,3,4,5,6\n", "row 2 ('b') lacks some"),
        ("id,0,1,2,3,4,5\na,1,2,3,4,5,x\n", "not a csv of scores"),
        ("id,0,1,2,3,4,5\na,1,2,3\n", "not a csv of scores"),
        ("id,0,1,2,3,4,5\na,1,2,3,4,5,inf\n", "row 1 ('a') has infinite scores"),
        ("id\na\n", "no column of scores"),
        ("", "bad.csv: is empty"),
    ],
)
def test_a_bad_csv_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    like = saved(tmp_path / "like.arrow", scores_of("ours"))
    file, out = tmp_path / "bad.csv", tmp_path / "out.arrow"
    file.write_text(text)
    message = refused("import", file, "--out", out, "--like", like, "--kind", "logits")
    assert said in message
    assert "bad.csv" in message or "out.arrow" in message
    assert not out.exists()


def test_a_bad_npz_is_refused_and_nothing_is_unpickled(tmp_path: Path) -> None:
    like = saved(tmp_path / "like.arrow", scores_of("ours"))
    file, out = tmp_path / "bad.npz", tmp_path / "out.arrow"
    good = {"ids": np.array(["a"]), "scores": np.zeros((1, 6))}
    for change, said in (
        ({"ids": np.array([Path("a")], object)}, "the id of row 1 is"),
        ({"scores": np.zeros((2, 6))}, "1 ids and 2 rows of scores"),
        ({"scores": np.array([["x"] * 6])}, "scores are <U1"),
        ({"classes": np.array(["a"])}, "1 classes and 6 columns"),
    ):
        np.savez(file, **good | change)
        assert said in refused("import", file, "--out", out, "--like", like, "--kind", "logits")
    np.savez(file, ids=good["ids"])
    assert "none of which are scores" in refused("import", file, "--out", out, "--like", like, "--kind", "logits")
    file.write_bytes(file.read_bytes()[:60])
    assert "not an npz of scores" in refused("import", file, "--out", out, "--like", like, "--kind", "logits")
    assert not out.exists()


def test_import_asks_for_what_it_cannot_know(tmp_path: Path) -> None:
    file = csv_of(tmp_path / "n.csv", scores_of("a"), [str(i) for i in range(6)])
    facts = ["--task", "multi-label", "--dataset", "toy", "--split", "val"]
    assert "--like SCORES, or all of" in refused("import", file, "--out", tmp_path / "o.arrow", "--kind", "logits")
    assert "not named by class" in refused("import", file, "--out", tmp_path / "o.arrow", "--kind", "logits", *facts)
    like = saved(tmp_path / "like.arrow", scores_of("ours"))
    assert "leave out --task" in refused(
        "import", file, "--out", tmp_path / "o.arrow", "--kind", "logits", "--like", like, *facts
    )
    assert "is a score file already" in refused(
        "import", like, "--out", tmp_path / "o.arrow", "--kind", "logits", *facts
    )
