"""Official csv files with a header: columns by their names, wherever they stand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinkit.errors import UserError, did_you_mean
from tinkit.files.text import check_lines, read_text


def read_columns(
    file: Path, needed: Sequence[str], perhaps: Sequence[str] = ()
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """The lines (N,) int64 on which the rows end, and the columns of ``needed`` and those there are of ``perhaps``.

    Other columns are left out: owners add some from release to release. Raises :class:`~tinkit.errors.UserError` that
    names the line for a column that is missing, a row of another length, and a quotation mark that is not closed.
    """
    reader = csv.reader(io.StringIO(check_lines(read_text(file), file), newline=""), strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for name in needed:
            if name not in header:
                raise UserError(
                    f"no column {name!r} in the first line{did_you_mean(name, header)}",
                    file=file,
                    line=1,
                    expected=f"a header with the columns {', '.join(needed)}",
                )
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"the row has {len(row)} fields", file=file, line=reader.line_num, expected=f"{len(header)} fields"
                )
            lines.append(reader.line_num)
            rows.append(row)
    except csv.Error as problem:
        raise UserError(f"not csv: {problem}", file=file, line=reader.line_num) from None
    if not rows:
        raise UserError("the file has no rows", file=file, expected="one clip a row, below a header")
    wanted = [name for name in (*needed, *perhaps) if name in header]
    return np.array(lines, np.int64), {name: [row[header.index(name)].strip() for row in rows] for name in wanted}
