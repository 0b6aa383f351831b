"""The ledger: a line a submission, none lost, none run by a spreadsheet."""

from __future__ import annotations

import csv
import errno
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.submission_tables import make_table
from tinkit.errors import UserError
from tinkit.files.cells import plain_cell, runs_in_spreadsheet
from tinkit.fusion.record import FusionRecord
from tinkit.scores import write_scores
from tinkit.submission import Options, enter_answer, make_submission, read_ledger
from tinkit.submission.ledger import COLUMNS, enter, estimate_of

LINE = {"time": "2026-01-01", "challenge": "x", "file": "a.csv", "clips": "2", "made_of": "m", "sha256": "ab"}


def submit(folder: Path, name: str, **options: Any) -> Path:
    scores = folder / f"{name}.arrow"
    if not scores.exists():
        write_scores(scores, make_table([[0.5, 0.25], [0.25, 0.125 + len(name) / 100]]))
    out = folder / name / "sub.csv"
    make_submission(str(scores), "demo", out, Options(ledger=folder / "submissions.csv", **options))
    return out


def test_a_submission_and_the_leaderboards_answer(tmp_path: Path) -> None:
    out = submit(tmp_path, "one", estimate="0.61")
    submit(tmp_path, "three")
    submit(tmp_path, "one", estimate="0.61")  # the same once more
    lines = read_ledger(tmp_path / "submissions.csv")
    assert [line["file"] for line in lines] == [str(out), str(tmp_path / "three" / "sub.csv")]
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert lines[0]["sha256"] == manifest["sha256"]
    assert (lines[0]["estimate"], lines[0]["answer"], lines[0]["made_of"]) == ("0.61", "", "demo test")
    assert enter_answer(tmp_path / "submissions.csv", out, "0.6077", "third")["note"] == "third"
    kept = read_ledger(tmp_path / "submissions.csv")
    assert [line["answer"] for line in kept] == ["0.6077", ""]
    assert kept[0]["answer_time"]
    out.write_text("changed")
    with pytest.raises(UserError, match="no line about this file"):
        enter_answer(tmp_path / "submissions.csv", out, "1")


RECORD: dict[str, Any] = {
    "fit": "val",
    "outputs": {},
    "metric": "sample_map",
    "metrics": {
        "cross_validated": {"sample_map": 0.62, "class_map": 0.5, "counts": {}},
        "fused": {"sample_map": 0.64, "class_map": 0.55, "counts": {}},
    },
    "improvement": {"value": 0.02, "low": 0.01, "high": 0.03},
}
CHOICE = {
    "nested": 0.61,
    "improvement": {"value": -0.0015, "low": -0.02, "high": 0.015},
    "optimistic": 0.63,
    "equal_mean": 0.6115,
}


@pytest.mark.parametrize(
    ("changes", "metric", "estimate"),
    [
        ({}, "sample_map", "0.6200 (+0.0200 over the equal mean, 95%: +0.0100 to +0.0300)"),
        ({"choice": CHOICE}, "sample_map", "0.6100 (-0.0015 over the equal mean, 95%: -0.0200 to +0.0150)"),
        ({"choice": CHOICE, "metric": "class_map"}, "class_map",
         "0.6100 (-0.0015 over the equal mean, 95%: -0.0200 to +0.0150)"),
        ({"metric": "class_map"}, "sample_map", "0.6200"),  # the interval is of another metric
        ({"metrics": {"fused": RECORD["metrics"]["fused"]}, "improvement": None}, "sample_map", "0.6400"),
        ({"metrics": {"cross_validated": {"sample_map": None, "counts": {}}}}, "", ""),
        ({"metrics": {}}, "", ""),
    ],
)  # fmt: skip
def test_the_estimate_is_the_honest_one(changes: dict[str, Any], metric: str, estimate: str) -> None:
    record = FusionRecord.model_validate(RECORD | changes)
    assert estimate_of([record], "multi-label", None) == (metric, estimate)
    assert estimate_of([record, record], "multi-label", None) == ("", "")
    assert estimate_of([record], "multi-label", "0.7") == ("", "0.7")


def test_what_people_add_stays(tmp_path: Path) -> None:
    path = tmp_path / "submissions.csv"
    enter(path, LINE)
    rows = list(csv.reader(path.open()))
    with_more = [",".join([*row, extra]) for row, extra in zip(rows, ("mine", "=mine"), strict=True)]
    path.write_text("\n".join(with_more) + "\n")
    enter(path, LINE | {"file": "b.csv", "sha256": "cd"})
    lines = read_ledger(path)
    assert [line["mine"] for line in lines] == ["=mine", ""]
    assert [line["file"] for line in lines] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not there once"),
        ("time;challenge\n", "not there once"),
        (",".join(COLUMNS) + "\n1,2\n", "2 cells"),
        (",".join(COLUMNS) + '\n"1\n', "not a ledger"),
    ],
)
def test_what_is_no_ledger_is_left_alone_and_nothing_is_written(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "submissions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        submit(tmp_path, "one")
    assert path.read_text() == text
    assert not (tmp_path / "one").exists()


def test_a_full_disk_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "submissions.csv"
    enter(path, LINE)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tinkit.files.atomic.flush", full)
        with pytest.raises(UserError, match="disk is full"):
            enter(path, LINE | {"sha256": "cd"})
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["submissions.csv"]
    enter(path, LINE | {"sha256": "cd"})
    assert len(read_ledger(path)) == 2


def _enter_some(path: str, process: int) -> None:
    for number in range(5):
        enter(Path(path), LINE | {"file": f"{process}-{number}.csv"})


def test_processes_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "submissions.csv"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_enter_some, args=(str(path), number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert {line["file"] for line in read_ledger(path)} == {f"{p}-{n}.csv" for p in range(3) for n in range(5)}


@pytest.mark.parametrize("start", ["=1+1", "+a", "-b", "@SUM(1)", "\tx", "\rx", " =1"])
def test_cells_that_a_spreadsheet_would_run(tmp_path: Path, start: str) -> None:
    assert runs_in_spreadsheet(start)
    enter(tmp_path / "l.csv", LINE | {"made_of": start, "challenge": f"two\nlines{start}"})
    (line,) = read_ledger(tmp_path / "l.csv")
    assert line["made_of"].startswith("'")
    assert not any(runs_in_spreadsheet(cell) for cell in line.values())
    assert len((tmp_path / "l.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("number", ["-1.5", "+3", "0.61", "-1e-5", "60 %", "", "a=b"])
def test_numbers_and_plain_texts_stay(number: str) -> None:
    assert plain_cell(number) == number
