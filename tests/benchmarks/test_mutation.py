"""Which mutants are drawn from, and how they and lines never run are told to a reader."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks import coverage_table
from benchmarks.mutation import Mutant, mutants_of

SOURCE = '''"""A module."""

def add(a, b=0):
    if a is None:
        raise UserError("no number", expected="a number")
    return a + b

class Sum:
    def of(self, a):
        return add(a, 1)
'''

# As mutmut writes it: each function as it was and in its mutants, under names of its own.
MUTATED = """
def x_add__mutmut_orig(a, b=0):
    if a is None:
        raise UserError("no number", expected="a number")
    return a + b

def x_add__mutmut_1(a, b=1):
    if a is None:
        raise UserError("no number", expected="a number")
    return a + b

def x_add__mutmut_2(a, b=0):
    if a is None:
        raise UserError("XXno numberXX", expected="a number")
    return a + b

def x_add__mutmut_3(a, b=0):
    if a is None:
        raise UserError("no number", expected=None)
    return a + b

def x_add__mutmut_4(a, b=0):
    if a is None:
        raise UserError("no number", expected="a number")
    return a - b

class Sum:
    def xǁSumǁof__mutmut_orig(self, a):
        return add(a, 1)

    def xǁSumǁof__mutmut_1(self, a):
        return add(a, 2)
"""


def test_mutants_that_change_more_than_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place, text in ((Path("kit/x.py"), SOURCE), (Path("mutants/kit/x.py"), MUTATED)):
        place.parent.mkdir(parents=True)
        place.write_text(text, encoding="utf-8")
    names = [*(f"kit.x.x_add__mutmut_{number}" for number in (1, 2, 3, 4)), "kit.x.xǁSumǁof__mutmut_1"]
    meta = Path("mutants/kit/x.py.meta")
    meta.write_text(json.dumps({"exit_code_by_key": dict.fromkeys(names)}))
    assert list(mutants_of(meta)) == [
        Mutant(names[0], "kit/x.py", "add", 3, "def add(a, b=0):", "def add(a, b=1):"),
        Mutant(names[3], "kit/x.py", "add", 6, "return a + b", "return a - b"),
        Mutant(names[4], "kit/x.py", "Sum.of", 10, "return add(a, 1)", "return add(a, 2)"),
    ]


def test_the_gaps_of_a_coverage_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.py").write_text(SOURCE)
    summary = {"num_statements": 8, "missing_lines": 3, "num_branches": 2, "missing_branches": 1, "percent_covered": 60}
    functions = {
        "add": {"missing_lines": [5]},
        "Sum.of": {"missing_lines": [9, 10]},
        "": {"missing_lines": []},
    }
    report = {"files": {"x.py": {"summary": summary, "functions": functions}}, "totals": summary}
    Path("report.json").write_text(json.dumps(report))
    monkeypatch.setattr(coverage_table, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["coverage_table", "report.json"])
    coverage_table.main()
    with Path("coverage.csv").open() as handle:
        rows = list(csv.reader(handle))
    assert [row[0] for row in rows] == ["file", "x.py", "all"]
    assert rows[1][1:] == ["8", "3", "2", "1", "60"]
    with Path("coverage_gaps.csv").open() as handle:
        gaps = [tuple(row.values()) for row in csv.DictReader(handle)]
    assert gaps == [
        ("x.py", "Sum.of", "2", "9-10", "def of(self, a):"),
        ("x.py", "add", "1", "5", 'raise UserError("no number", expected="a number")'),
    ]
