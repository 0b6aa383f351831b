"""What `make coverage` measured, as two tables: coverage.csv (one row a file) and coverage_gaps.csv (lines never run).

The gaps are by function, the largest of a file first, each with its line ranges and the text of its first line.
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Row = dict[str, str | int | float]


def main() -> None:
    """Write both tables from the JSON report that is named."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    files = {name.replace("\\", "/"): found for name, found in sorted(report["files"].items())}
    rows = [_row(name, found["summary"]) for name, found in files.items() if found["summary"]["num_statements"]]
    total = _row("all", report["totals"])
    _write("coverage", [*rows, total])
    gaps = [gap for name, found in files.items() for gap in _gaps(name, found["functions"])]
    _write("coverage_gaps", gaps)
    print(f"{total['percent']}% of statements and branches; {total['missed']} statements in {len(gaps)} gaps never run")


def _row(name: str, summary: dict[str, Any]) -> Row:
    return {
        "file": name,
        "statements": summary["num_statements"],
        "missed": summary["missing_lines"],
        "branches": summary["num_branches"],
        "branches_missed": summary["missing_branches"],
        "percent": round(summary["percent_covered"], 1),
    }


def _gaps(name: str, functions: dict[str, Any]) -> Iterator[Row]:
    source = Path(name).read_text(encoding="utf-8").splitlines()
    missed = {function or "(module)": found["missing_lines"] for function, found in functions.items()}
    for function, lines in sorted(missed.items(), key=lambda item: (-len(item[1]), item[0])):
        if lines:
            yield {
                "file": name,
                "function": function,
                "missed": len(lines),
                "lines": _ranges(lines),
                "first": source[lines[0] - 1].strip(),
            }


def _ranges(lines: Sequence[int]) -> str:
    """``[3, 4, 5, 9]`` as ``3-5 9``."""
    runs = itertools.groupby(enumerate(lines), key=lambda item: item[1] - item[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(group) for _, group in runs)]
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in ends)


def _write(name: str, rows: Sequence[Row]) -> None:
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]) if rows else ["file"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
