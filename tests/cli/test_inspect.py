"""`tinkit inspect` as people type it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from tests.helpers.fusion_members import scores_of, write_run
from tests.helpers.scored_runs import command
from tinkit.files.cells import runs_in_spreadsheet
from tinkit.scores import write_scores


def test_a_run_a_file_and_a_fusion_are_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), "one", strength=2.0)
    write_run(Path("runs"), "two", strength=1.0)
    assert command(monkeypatch, "ensemble", "one", "two", "--method", "mean-logits", "--name", "both") == 0
    for name in ("one", "runs/one/scores/val-1x1-best.arrow", "both", "fusions/both"):
        capsys.readouterr()
        assert command(monkeypatch, "inspect", name, "--top", "2") == 0
        said = capsys.readouterr().out
        for wanted in ("Classes by value", "Clips most wrongly scored", "Strongest confusions", "Calibration"):
            assert wanted in said, name
    capsys.readouterr()
    assert command(monkeypatch, "inspect", "one", "--json", "--top", "3") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["classes"]) == 6
    assert len(found["worst"]) == 3
    assert found["worst"][0]["value"] <= found["worst"][1]["value"]


def test_its_tables_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "val.arrow"
    write_scores(file, scores_of("one", classes=30, clips=90))
    assert command(monkeypatch, "inspect", file, "--csv", tmp_path / "out", "--sort", "name") == 0
    assert "15 of 30" in capsys.readouterr().out
    with (tmp_path / "out" / "classes.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert sorted(row["class"] for row in rows) == sorted(f"class {number}" for number in range(30))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("classes.csv", "clips.csv", "confusion.csv", "calibration.csv")
    }


def test_no_cell_of_its_tables_runs_in_a_spreadsheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, names = tmp_path / "val.arrow", ('=HYPERLINK("http://x")', "+a", "-1.5", "@b", "two\nlines", "plain")
    table = scores_of("one", classes=6, clips=30)
    table = dataclasses.replace(table, info=dataclasses.replace(table.info, classes=names))
    write_scores(file, dataclasses.replace(table, ids=[f"={name}" for name in table.ids]))
    assert command(monkeypatch, "inspect", file, "--csv", tmp_path / "out") == 0
    for path in (tmp_path / "out").iterdir():
        with path.open(newline="") as lines:
            assert not any(runs_in_spreadsheet(cell) for row in csv.reader(lines) for cell in row)
    with (tmp_path / "out" / "classes.csv").open(newline="") as lines:
        found = {row["class"] for row in csv.DictReader(lines)}
    assert found == {'\'=HYPERLINK("http://x")', "'+a", "-1.5", "'@b", "two lines", "plain"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing"], 2, "neither a score file"),
        (["one", "--split", "test"], 1, "has a label"),
        (["one", "--top", "0"], 2, ""),
    ],
)
def test_what_cannot_be_inspected_is_said(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), "one")
    assert command(monkeypatch, "inspect", *words) == code
    assert said in capsys.readouterr().err
