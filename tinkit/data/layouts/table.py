"""Your own data: csv or Parquet with the columns id, path, labels and, if wanted, source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tinkit.data.layouts.csv_table import csv_rows
from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.rows import Rows, split_words
from tinkit.errors import UserError, did_you_mean

_MOST_ROWS = 100_000_000  # a file of some kilobytes may claim any number
_COLUMNS = ("id", "path", "labels", "source")


def read_table(annotation: AnnotationFile) -> Rows:
    """The rows of a table with a header. ``labels`` are class names or indices, between semicolons or, where the cell
    as a whole is not a class, spaces; in Parquet the column may hold lists. Other columns are refused: a misspelt
    ``labels`` would be lost silently.
    """
    file, labelled = annotation.path, annotation.labelled
    if file.suffix.lower() in (".parquet", ".pq"):
        lines, named, unit = *_from_parquet(file, labelled=labelled), "row"
    else:
        lines, named, unit = *_from_csv(file, annotation.delimiter or ",", labelled=labelled), "line"
    columns = dict(named)
    labels = columns.get("labels")
    if not len(lines):
        raise UserError("the table has no rows", file=file, expected="one clip a row")
    return Rows(
        file=file,
        lines=lines,
        ids=columns["id"],
        paths=columns["path"],
        labels=None if labels is None else _label_words(labels, annotation.classes),
        source=pc.coalesce(columns["source"], columns["id"]) if "source" in columns else None,
        unit=unit,
    )


def _from_csv(file: Path, delimiter: str, *, labelled: bool) -> tuple[np.ndarray, list[tuple[str, pa.Array]]]:
    """The lines on which the rows end, and the columns as text."""
    found = csv_rows(file, delimiter)
    _, first = next(found, (1, []))
    header = [name.strip().lower() for name in first]
    _check_columns(file, header, delimiter, labelled=labelled)
    lines, rows = [], []
    for line, row in found:
        if not row:
            continue
        if len(row) != len(header):
            raise UserError(
                f"the row has {len(row)} fields",
                file=file,
                line=line,
                expected=f"{len(header)}: {delimiter.join(header)}",
                fix="separate several labels with semicolons, and put quotation marks around a field that holds "
                f"{delimiter!r}",
            )
        lines.append(line)
        rows.append(row)
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    named = [
        (name, pa.array((word.strip() for word in column), pa.string(), size=len(rows)))
        for name, column in zip(header, columns, strict=True)
    ]
    return np.array(lines, np.int64), named


def _from_parquet(file: Path, *, labelled: bool) -> tuple[np.ndarray, list[tuple[str, pa.Array]]]:
    try:
        rows = pq.read_metadata(file).num_rows
        if rows > _MOST_ROWS:
            raise UserError(f"{rows} rows", file=file, expected=f"at most {_MOST_ROWS}")
        table = pq.read_table(file)
        names = [name.strip().lower() for name in table.column_names]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise UserError(f"not a Parquet file: {problem}", file=file) from None
    _check_columns(file, names, None, labelled=labelled)
    columns = []
    for name, chunks in zip(names, table.columns, strict=True):
        column = chunks.combine_chunks()
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        listed = any(is_list(column.type) for is_list in lists)
        kind = pa.list_(pa.string()) if listed else pa.string()
        try:
            cast = column.cast(kind)
            cast.validate(full=True)  # what is called text may hold any bytes
            columns.append((name, cast))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise UserError(
                f"the column {name!r} is {column.type}, or not in UTF-8", file=file, expected="text or numbers"
            ) from None
    return np.arange(1, table.num_rows + 1), columns


def _check_columns(file: Path, names: list[str], delimiter: str | None, *, labelled: bool) -> None:
    """Refuse columns that are doubled, unknown or missing; ``delimiter`` is None where the file has none."""
    needed = ("id", "path", "labels") if labelled else ("id", "path")
    expected = f"the columns {', '.join(needed)}, and source if you know it"
    if delimiter is not None and len(names) == 1:
        for other in ",;\t|":
            if other != delimiter and set(needed) <= {part.strip(' "') for part in names[0].split(other)}:
                raise UserError(
                    f"the columns are separated by {other!r}, not {delimiter!r}",
                    file=file,
                    line=1,
                    expected=expected,
                    fix=f"set data.delimiter = {json.dumps(other)}",
                )
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two columns {name!r}", file=file, expected=expected)
        if name not in _COLUMNS:
            raise UserError(f"unknown column {name!r}{did_you_mean(name, _COLUMNS)}", file=file, expected=expected)
    for name in needed:
        if name not in names:
            raise UserError(f"no column {name!r} among {', '.join(names) or 'none'}", file=file, expected=expected)


def _label_words(labels: pa.Array, classes: tuple[str, ...]) -> pa.Array:
    """list<string> of the words of each cell."""
    if pa.types.is_list(labels.type):
        return labels
    cells = pc.utf8_trim_whitespace(pc.fill_null(labels, ""))
    whole = pc.or_(pc.match_substring(cells, ";"), pc.is_in(cells, pa.array(classes, pa.string())))
    marked = pc.if_else(whole, cells, pc.replace_substring_regex(cells, pattern=r"\s+", replacement=";"))
    return split_words(marked, r"\s*;\s*")
