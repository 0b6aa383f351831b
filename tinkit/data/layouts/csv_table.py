"""Official csv files with a header: columns by their names, wherever they stand."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tinkit.errors import UserError, did_you_mean
from tinkit.files.text import check_lines, read_text


def csv_rows(file: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a csv file, empty ones too, each with the line (from 1) on which it ends.

    Raises :class:`~tinkit.errors.UserError` that names the line where it is not csv: a quotation mark that is not
    closed, say.
    """
    text = check_lines(read_text(file), file)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as problem:
        raise UserError(f"not csv: {problem}", file=file, line=reader.line_num) from None


def read_columns(
    file: Path, needed: Sequence[str], perhaps: Sequence[str] = ()
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """The lines (N,) int64 on which the rows end, and the columns of ``needed`` and those there are of ``perhaps``.

    Other columns are left out: owners add some from release to release. Raises :class:`~tinkit.errors.UserError` that
    names the line for a column that is missing, a row of another length, and a quotation mark that is not closed.
    """
    found = csv_rows(file)
    _, first = next(found, (1, []))
    header = [name.strip().lower() for name in first]
    for name in needed:
        if name not in header:
            raise UserError(
                f"no column {name!r} in the first line{did_you_mean(name, header)}",
                file=file,
                line=1,
                expected=f"a header with the columns {', '.join(needed)}",
            )
    lines: list[int] = []
    rows: list[list[str]] = []
    for line, row in found:
        if not row:
            continue
        if len(row) != len(header):
            raise UserError(f"the row has {len(row)} fields", file=file, line=line, expected=f"{len(header)} fields")
        lines.append(line)
        rows.append(row)
    if not rows:
        raise UserError("the file has no rows", file=file, expected="one clip a row, below a header")
    wanted = [name for name in (*needed, *perhaps) if name in header]
    return np.array(lines, np.int64), {name: [row[header.index(name)].strip() for row in rows] for name in wanted}
