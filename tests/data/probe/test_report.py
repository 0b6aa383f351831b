"""The csv of a survey, which people open in a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from tinkit.data.probe.report import write_report
from tinkit.files.cells import runs_in_spreadsheet


def test_no_cell_of_it_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    columns = {"path": ["=1+1", "@a", "-b.mp4"], "reason": ["+x", "", "fine"], "frames": [-1, 2, 3]}
    table = pa.table(columns | {"notes": [["turned"], [], ["-a", "b"]], "keyframes": [[0], [], [1, 2]]})
    write_report(tmp_path / "clips.csv", {"=train": table})
    with (tmp_path / "clips.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["path"] for row in rows] == ["'=1+1", "'@a", "'-b.mp4"]
    assert [row["frames"] for row in rows] == ["-1", "2", "3"]
    assert [row["notes"] for row in rows] == ["turned", "", "'-a; b"]
    assert not any(runs_in_spreadsheet(cell) for row in rows for cell in row.values())
