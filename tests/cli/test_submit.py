"""``tinkit submit`` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tests.helpers.places import ROOT
from tests.helpers.submission_tables import SINGLE, make_table
from tinkit.cli.ledger import ledger
from tinkit.cli.submit import EPILOG, submit
from tinkit.errors import UsageError, UserError
from tinkit.files.hashes import sha256_file
from tinkit.scores import write_scores

LOGITS = [[2.0, -1.0, 0.0], [-2.0, 1.0, 0.0], [0.0, 0.0, 3.0]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a fusion of three clips, its ids and the answers."""
    monkeypatch.chdir(tmp_path)
    fusion = tmp_path / "fusions" / "mine"
    fusion.mkdir(parents=True)
    table = make_table(LOGITS, kind="logits", ids=["a+b/2.mp4", "a+b/1.mp4", "c/3.mp4"])
    write_scores(fusion / "test.arrow", table)
    write_scores(fusion / "val.arrow", make_table(LOGITS, kind="logits", split="val"))
    describe(fusion)
    (tmp_path / "testSet.csv").write_text("a+b/1.mp4\na+b/2.mp4\nc/3.mp4\n")
    (tmp_path / "answers.csv").write_text("id,labels\na+b/1.mp4,1\na+b/2.mp4,0 2\nc/3.mp4,1\n")
    return tmp_path


def describe(fusion: Path) -> None:
    """Write the fusion.json of the score files that are there."""
    outputs = {path.stem: {"path": path.name, "sha256": sha256_file(path)} for path in fusion.glob("*.arrow")}
    record = {"name": fusion.name, "fit": None, "outputs": outputs, "metrics": {}}
    (fusion / "fusion.json").write_text(json.dumps(record))


def run(*words: str) -> Result:
    app = typer.Typer()
    app.command("submit", epilog=EPILOG)(submit)
    return CliRunner().invoke(app, list(words))


def good(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def bad(*words: str, kind: type[UserError] = UserError) -> str:
    result = run(*words)
    assert isinstance(result.exception, kind), (result.output, result.exception)
    return str(result.exception)


def test_from_a_fusion_to_a_checked_and_rehearsed_file(here: Path) -> None:
    output = good("mine", "--challenge", "mmit", "--ids", "testSet.csv", "--out", "sub/mmit.csv")
    assert "3 clips" in output
    assert "csv" in output
    lines = (here / "sub" / "mmit.csv").read_text().splitlines()
    assert lines[0] == "filename,score_0,score_1,score_2"
    assert [line.split(",")[0] for line in lines[1:]] == ["a+b/1.mp4", "a+b/2.mp4", "c/3.mp4"]
    np.testing.assert_allclose(
        [[float(x) for x in line.split(",")[1:]] for line in lines[1:]],
        1 / (1 + np.exp(-np.array(LOGITS)[[1, 0, 2]])),
        rtol=1e-6,
    )
    manifest = json.loads((here / "sub" / "manifest.json").read_text())
    assert set(manifest["inputs"]) == {"scores", "fusion", "challenge"}
    assert "good" in good("--check", "sub/mmit.csv", "--challenge", "mmit", "--ids", "testSet.csv")
    arguments = ("--check", "sub/mmit.csv", "--challenge", "mmit", "--answers", "answers.csv")
    assert "sample_map" in good(*arguments)
    report = json.loads(good(*arguments, "--json"))
    assert report["ok"]
    # By hand: AP is 1 (class 1 first), 1 (0 then 2), and 1/3 or 1/2 with the tie of classes 0 and 1 behind class 2.
    assert report["rehearsal"]["metrics"]["sample_map"] == pytest.approx((1 + 1 + 1 / 3) / 3)


def test_a_fusions_folder_and_a_score_file_mean_the_same(here: Path) -> None:
    texts = set()
    for number, source in enumerate(("mine", "fusions/mine", "fusions/mine/test.arrow")):
        good(source, "-c", "demo", "-o", f"s{number}/a.csv")
        texts.add((here / f"s{number}" / "a.csv").read_text())
    assert len(texts) == 1


def test_two_heads_and_groups_of_clips(here: Path) -> None:
    random = np.random.default_rng(0)
    ids = [f"P0{1 + i % 2}_1_{i}" for i in range(8)]
    for head, width in (("verb", 97), ("noun", 300)):
        scores = random.normal(size=(8, width))
        scores[np.arange(8), np.arange(8)] = 9 if head == "verb" else [9, -9] * 4
        write_scores(here / f"{head}.arrow", make_table(scores, kind="logits", task=SINGLE, ids=ids))
    words = ("verb=verb.arrow", "noun=noun.arrow", "-c", "epic100", "-o", "s/epic.zip")
    assert "what no program can know: sls_pt, sls_tl, sls_td" in bad(*words, kind=UsageError)
    asked = ("--set", "sls_pt=2", "--set", "sls_tl=3", "--set", "sls_td=4")
    assert "verb=SCORES noun=SCORES" in bad("verb.arrow", *words[2:], *asked, kind=UsageError)
    good(*words, *asked)
    assert json.loads((here / "s" / "manifest.json").read_text())["answers"] == {"sls_pt": 2, "sls_tl": 3, "sls_td": 4}
    rows = [f"{name},P0{1 + i % 2},{i},{i}\n" for i, name in enumerate(ids)]
    (here / "truth.csv").write_text("narration_id,participant_id,verb_class,noun_class\n" + "".join(rows))
    (here / "unseen.csv").write_text("participant_id\nP01\n")
    (here / "tail_verbs.csv").write_text("verb\n0\n1\n")
    (here / "tail_nouns.csv").write_text("noun\n1\n2\n")
    check = ("--check", "s/epic.zip", "-c", "epic100", "--answers", "truth.csv")
    groups = ("unseen=unseen.csv", "tail=tail_verbs.csv", "tail=tail_nouns.csv")
    report = json.loads(good(*check, *(word for one in groups for word in ("--group", one)), "--json"))
    metrics = report["rehearsal"]["metrics"]
    assert next(iter(metrics)) == "action_top1"
    assert (metrics["verb_top1"], metrics["noun_top1"], metrics["action_top1"]) == (1, 0.5, 0.5)
    assert (metrics["unseen: noun_top1"], metrics["unseen: action_top5"]) == (1, 1)
    assert (metrics["tail: verb_top1"], metrics["tail: noun_top1"]) == (1, 0.5)
    assert metrics["tail: action_top1"] == pytest.approx(2 / 3)  # clips 0, 1 and 2
    assert "the answers lack" in bad(*check, "--group", "x=answers.csv")
    assert "--group without --answers" in bad(*check[:-2], "--group", "x=unseen.csv", kind=UsageError)


def test_the_ledger_is_kept_and_answered(here: Path) -> None:
    good("mine", "-c", "mmit", "-o", "s/a.csv", "--estimate", "0.62")
    app = typer.Typer()
    app.command("ledger")(ledger)
    shown = CliRunner().invoke(app, ["--json"])
    (line,) = json.loads(shown.stdout)
    assert (line["file"], line["estimate"], line["answer"]) == ("s/a.csv", "0.62", "")
    assert CliRunner().invoke(app, ["s/a.csv", "--answer", "0.6077"]).exit_code == 0
    assert "0.6077" in CliRunner().invoke(app, []).output
    for words in (["s/a.csv"], ["--answer", "1"], ["--note", "x"], ["none.csv", "--answer", "1"]):
        assert isinstance(CliRunner().invoke(app, words).exception, UsageError), words
    assert "nothing was handed in" in CliRunner().invoke(app, ["--ledger", "other.csv"]).output


def test_json_is_the_manifest(here: Path) -> None:
    result = run("mine", "-c", "demo", "-o", "s/a.csv", "--json")
    assert json.loads(result.stdout) == json.loads((here / "s" / "manifest.json").read_text())
    assert "not checked against an official list" in result.stderr


def test_one_id_too_many_and_one_too_few_write_nothing(here: Path) -> None:
    (here / "more.txt").write_text("a+b/1.mp4\na+b/2.mp4\nc/3.mp4\nc/4.mp4\n")
    (here / "fewer.txt").write_text("a+b/1.mp4\na+b/2.mp4\n")
    assert "no row of scores: c/4.mp4" in bad("mine", "-c", "mmit", "--ids", "more.txt", "-o", "s/a.csv")
    assert "not in the list of test clips: c/3.mp4" in bad("mine", "-c", "mmit", "--ids", "fewer.txt", "-o", "s/a.csv")
    assert not (here / "s").exists()


def test_ids_from_a_folder(here: Path) -> None:
    for name in ("a+b/1.mp4", "a+b/2.mp4", "c/3.mp4"):
        path = here / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "3 videos" in good("mine", "-c", "mmit", "--ids", "videos", "-o", "s/a.csv")
    assert "good" in good("--check", "s/a.csv", "-c", "mmit", "--ids", "videos")


def test_the_validation_split_must_be_said(here: Path) -> None:
    assert "--split val" in bad("fusions/mine/val.arrow", "-c", "mmit", "-o", "s/a.csv")
    assert "not of the test split" in good("mine", "--split", "val", "-c", "mmit", "-o", "s/a.csv")
    assert "only of: test, val" in bad("mine", "--split", "holdout", "-c", "mmit", "-o", "s/b.csv")


def test_null_rows_need_fill_and_max(here: Path) -> None:
    write_scores(here / "s.arrow", make_table(LOGITS, kind="logits", invalid=[1]))
    assert "--fill prior --max 1" in bad("s.arrow", "-c", "mmit", "-o", "s/a.csv")
    output = good("s.arrow", "-c", "mmit", "-o", "s/a.csv", "--fill", "prior", "--max", "1")
    assert "1 clips have no scores" in output


def test_lost_order_is_printed(here: Path) -> None:
    write_scores(here / "s.arrow", make_table([[40, 50, 0], [20, 21, 0]], kind="logits"))
    assert "warning: in 1 of 2 rows, scores that differ became equal" in good("s.arrow", "-c", "mmit", "-o", "s/a.csv")


def test_overwriting_needs_force(here: Path) -> None:
    good("mine", "-c", "mmit", "-o", "s/a.csv")
    before = {path.name: path.read_bytes() for path in (here / "s").iterdir()}
    assert "exists already" in good("mine", "-c", "mmit", "-o", "s/a.csv")  # the same once more
    for other in (("--ids", "testSet.csv"), ("--fill", "prior")):
        assert "--force" in bad("mine", "-c", "mmit", "-o", "s/a.csv", *other)
    assert {path.name: path.read_bytes() for path in (here / "s").iterdir()} == before
    (here / "s" / "a.csv").write_text("damaged")
    assert "--force" in bad("mine", "-c", "mmit", "-o", "s/a.csv")
    good("mine", "-c", "mmit", "-o", "s/a.csv", "--force")
    assert (here / "s" / "a.csv").read_bytes() == before["a.csv"]


def test_a_bad_file_is_shown_line_by_line_and_exits_with_one(here: Path) -> None:
    (here / "x.csv").write_text("filename,score_0\na+b/1.mp4,2\n" + "q,0.5\n" * 40)
    result = run("--check", "x.csv", "-c", "mmit", "--ids", "testSet.csv")
    assert result.exit_code == 1
    assert "x.csv:2: error: not a probability: column 2 is 2, expected 0 to 1" in result.output
    assert "x.csv: unknown id: 35 more" in result.output
    assert "not good: 41 rows, 43 errors" in result.output
    shown = run("--check", "x.csv", "-c", "mmit", "--ids", "testSet.csv", "--json")
    assert shown.exit_code == 1
    report: dict[str, Any] = json.loads(shown.stdout)
    assert report["counts"] == {"not a probability": 1, "unknown id": 40, "missing id": 2}
    assert report["rehearsal"] is None


def test_categories_from_a_score_file(here: Path) -> None:
    classes = ["Holding", "Moving, slowly", "Shaking"]
    table = make_table(LOGITS, kind="logits", task=SINGLE, classes=classes, ids=["1", "2", "3"])
    write_scores(here / "v1.arrow", table)
    (here / "hidden.csv").write_text("id,labels\n1,0\n2,1\n3,1\n")
    good("v1.arrow", "-c", "sthv1", "-o", "s/v1.csv")
    assert (here / "s" / "v1.csv").read_text() == "1;Holding\n2;Moving, slowly\n3;Shaking\n"
    check = ("--check", "s/v1.csv", "-c", "sthv1", "--answers", "hidden.csv")
    assert "which class is which" in bad(*check)
    assert "66.67" in good(*check, "--categories", "v1.arrow")
    (here / "labels.csv").write_text("Shaking\nHolding\nMoving, slowly\n")  # numbered by alphabet
    assert "66.67" in good(*check, "--categories", "labels.csv")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("mine",), "no leaderboard was named"),
        (("mine", "-c", "mmitt", "-o", "a.csv"), "did you mean 'mmit'"),
        (("min", "-c", "mmit", "-o", "a.csv"), "did you mean 'mine'"),
        (("mine", "-c", "mmit"), "no file to write was named"),
        (("-c", "mmit", "-o", "a.csv"), "no scores were named"),
        (("mine", "-c", "mmit", "--check", "a.csv"), "FUSION does not go with --check"),
        (("-c", "mmit", "--check", "a.csv", "--force"), "--force does not go"),
        (("mine", "-c", "mmit", "-o", "a.csv", "--num-classes", "3"), "--num-classes does not go"),
        (("mine", "-c", "mmit", "-o", "a.csv", "--max", "3"), "--max without --fill"),
        (("run", "-c", "mmit", "-o", "a.csv"), "is a run"),
    ],
)
def test_wrong_use(here: Path, words: tuple[str, ...], problem: str) -> None:
    (here / "run" / "scores").mkdir(parents=True)
    message = bad(*words, kind=UsageError)
    assert problem in message
    assert not (here / "a.csv").exists()


def test_what_is_no_score_file(here: Path) -> None:
    assert "testSet.csv" in bad("testSet.csv", "-c", "mmit", "-o", "s/a.csv")


def test_the_help_has_examples_and_imports_nothing_heavy() -> None:
    output = good("--help")
    assert "tinkit submit mmit --challenge mmit" in " ".join(output.split())
    code = (
        "import sys, tinkit.cli.submit; "
        "print([m for m in ('numpy', 'pyarrow', 'torch', 'rich', 'pydantic') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "numpy" not in printed.stdout
    assert "torch" not in printed.stdout
    assert "pyarrow" not in printed.stdout
    code = "import sys, tinkit.submission; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert printed.stdout.strip() == "False"
