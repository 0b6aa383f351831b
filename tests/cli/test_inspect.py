"""`tinkit inspect` as people type it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.helpers.fusion_members import scores_of, write_run
from tests.helpers.scored_runs import command
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
