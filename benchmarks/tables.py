"""Where the rows of a benchmark go: a csv that keeps them by machine, a table to read, markdown for a document."""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.pairs import Row

COLUMNS = (
    "date", "machine", "what", "case", "against", "pairs", "ratio", "low", "high", "bound", "held", "ms", "against_ms",
    "mib", "against_mib",
)  # fmt: skip
_KEY = ("machine", "what", "case", "against")
Record = dict[str, str]


@dataclass
class Table:
    """The table ``name`` of this run: each row is stored as it comes, so that a run that is cut short leaves its rows.

    ``setting`` describes the machine and how it was used. Rows of the same setting, ``what``, ``case`` and ``against``
    are replaced, all others in ``out`` stay.
    """

    name: str
    setting: str
    out: Path
    markdown: Path | None
    rows: list[Record] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Store a row and say it."""
        record = to_record(row, self.setting)
        self.rows.append(record)
        store([record], self.out)
        print("  ".join(_cells(record)), flush=True)

    def finish(self) -> None:
        """Print the run's rows as a table, and put all that are known of this setting into the document."""
        print(f"\n{self.setting}\n{as_text(self.rows)}")
        if self.markdown is not None:
            known = [record for record in read(self.out) if record["machine"] == self.setting]
            write_between(self.markdown, self.name, as_markdown(known))


def options(name: str, about: str, groups: Iterable[str], pairs: int) -> argparse.Namespace:
    """The options that both tables have: ``threads``, ``pairs``, ``only``, ``out`` and ``markdown``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of PyTorch (all cores)")
    parser.add_argument("--pairs", type=int, default=pairs, help=f"of each row ({pairs}; targets ask for 21 or more)")
    parser.add_argument("--only", nargs="+", choices=list(groups), default=list(groups), metavar="ROW", help="of all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / f"{name}.csv")
    parser.add_argument("--markdown", type=Path, help=f"put the table between the marks of bench-{name} in this file")
    asked: argparse.Namespace = parser.parse_args()
    if asked.markdown is not None and asked.markdown.is_file():
        put_between(asked.markdown.read_text(), f"bench-{name}", "")  # fails now, not after an hour
    return asked


def setting_of(asked: argparse.Namespace, kept: bool, *more: str) -> str:
    """The machine and what all rows of a run have in common."""
    buffers = "large buffers kept" if kept else "large buffers not kept"
    return "; ".join([machine("torch", "timm"), f"{asked.threads} threads", buffers, *more])


def to_record(row: Row, setting: str) -> Record:
    """A row as the csv has it; a bound that was not asked for, and what was not measured, are empty."""
    ratio, held = row.ratio, None if row.bound is None else row.bound.held_by(row.ratio)
    values = (
        date.today().isoformat(), setting, row.what, row.case, row.against, str(row.pairs),
        f"{ratio.median:.4f}", f"{ratio.low:.4f}", f"{ratio.high:.4f}",
        "" if row.bound is None else str(row.bound), "" if held is None else "yes" if held else "no",
        *("" if value is None else f"{value:.3f}" for value in (row.ms, row.against_ms, row.mib, row.against_mib)),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def read(path: Path) -> list[Record]:
    """The rows of a csv; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def store(records: Sequence[Record], path: Path) -> None:
    """Replace the rows of ``path`` that are the same comparison on the same machine, append the others."""
    known = {tuple(record[name] for name in _KEY): record for record in [*read(path), *records]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(known.values())


def as_text(records: Sequence[Record]) -> str:
    """A table for a terminal, one row a line."""
    heads = ("what", "case", "against", "ratio, 95% interval", "bound", "")
    lines = [heads, *(_cells(record) for record in records)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def as_markdown(records: Sequence[Record]) -> str:
    """A table for a document: the first part of each case makes rows, the second columns; a missed bound is bold."""
    columns = list(dict.fromkeys(_parts(record)[1] for record in records))
    lines: dict[tuple[str, str, str], Record] = {}
    for record in records:
        place, column = _parts(record)
        lines.setdefault((record["what"], record["against"], place), {})[column] = _markdown_cell(record)
    heads = ["what", "against", "case", *columns]
    table = [heads, ["---"] * len(heads)]
    table += [[*line, *(cells.get(column, "") for column in columns)] for line, cells in lines.items()]
    return "\n".join([_caption(records), "", *(f"| {' | '.join(cells)} |" for cells in table)])


def put_between(text: str, name: str, inner: str) -> str:
    """``text`` with ``inner`` between the lines ``<!-- name -->`` and ``<!-- /name -->``, instead of what is there.

    Raises ``ValueError`` unless each of the two lines is there once, in this order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    lines = text.splitlines()
    if lines.count(begin) != 1 or lines.count(end) != 1 or lines.index(begin) > lines.index(end):
        raise ValueError(f"expected the lines {begin!r} and {end!r}, once each")
    return "\n".join([*lines[: lines.index(begin) + 1], inner, *lines[lines.index(end) :]]) + "\n"


def write_between(path: Path, name: str, inner: str) -> None:
    """Put a table between its marks in a document, which is made if it is not there."""
    mark = f"bench-{name}"
    text = path.read_text() if path.is_file() else f"<!-- {mark} -->\n<!-- /{mark} -->\n"
    path.write_text(put_between(text, mark, inner))


def _parts(record: Record) -> tuple[str, str]:
    place, _, column = record["case"].partition("; ")
    return place, column


def _caption(records: Sequence[Record]) -> str:
    days = sorted({record["date"] for record in records})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    pairs = sorted({int(record["pairs"]) for record in records if record["ms"]})
    how_many = "-".join(str(number) for number in dict.fromkeys((pairs[0], pairs[-1]))) if pairs else "no"
    return (
        f"{when}; {records[0]['machine']}. What the first takes over what the second takes: the median of {how_many}"
        " pairs' ratios and its 95% interval; bytes have none."
    )


def _ratio(record: Record) -> str:
    ratio, low, high = (float(record[name]) for name in ("ratio", "low", "high"))
    digits = 3 if ratio < 10 else 1
    return f"{ratio:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if record["ms"] else "")


def _markdown_cell(record: Record) -> str:
    cell = _ratio(record) + (f", {record['bound']}" if record["bound"] else "")
    return f"**{cell}: missed**" if record["held"] == "no" else cell


def _cells(record: Record) -> tuple[str, ...]:
    unit, ours, theirs = ("ms", "ms", "against_ms") if record["ms"] else ("MiB", "mib", "against_mib")
    held = {"yes": "", "no": ": missed", "": ""}[record["held"]]
    sizes = f"{float(record[ours]):.2f} / {float(record[theirs]):.2f} {unit}"
    return record["what"], record["case"], record["against"], _ratio(record), record["bound"] + held, sizes
