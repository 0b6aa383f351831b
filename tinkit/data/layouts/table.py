"""Your own data: csv or Parquet with the columns id, path, labels and, if wanted, source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tinkit.data.layouts.csv_table import csv_rows
from tinkit.data.layouts.layout import AnnotationFile
from tinkit.data.layouts.rows import Rows, regroup, split_words
from tinkit.errors import UserError, did_you_mean

_MOST_ROWS = 100_000_000  # a file of some kilobytes may claim any number
_COLUMNS = ("id", "path", "labels", "source")
_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false")


def read_table(annotation: AnnotationFile) -> Rows:
    """The rows of a table with a header. ``labels`` are class names or indices, between semicolons or, where the cell
    as a whole is not a class, spaces; in Parquet the column may hold lists. Without that column there may be one of 0
    and 1 for each class. Other columns are refused: a misspelt ``labels`` would be lost silently.
    """
    file = annotation.path
    if file.suffix.lower() in (".parquet", ".pq"):
        lines, named, unit = *_from_parquet(annotation), "row"
    else:
        lines, named, unit = *_from_csv(annotation, annotation.delimiter or ","), "line"
    columns = dict(named)
    if not len(lines):
        raise UserError("the table has no rows", file=file, expected="one clip a row")
    rows = Rows(
        file=file,
        lines=lines,
        ids=columns["id"],
        paths=columns["path"],
        labels=None,
        source=pc.coalesce(columns["source"], columns["id"]) if "source" in columns else None,
        unit=unit,
    )
    if "labels" in columns:
        return replace(rows, labels=_label_words(columns["labels"], annotation.classes))
    return replace(rows, labels=_marked(rows, columns)) if len(columns.keys() - _COLUMNS) else rows


def _from_csv(annotation: AnnotationFile, delimiter: str) -> tuple[np.ndarray, list[tuple[str, pa.Array]]]:
    """The lines on which the rows end, and the columns as text."""
    file = annotation.path
    found = csv_rows(file, delimiter)
    _, first = next(found, (1, []))
    header = _names(first, annotation)
    _check_columns(annotation, header, delimiter)
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


def _from_parquet(annotation: AnnotationFile) -> tuple[np.ndarray, list[tuple[str, pa.Array]]]:
    file = annotation.path
    try:
        rows = pq.read_metadata(file).num_rows
        if rows > _MOST_ROWS:
            raise UserError(f"{rows} rows", file=file, expected=f"at most {_MOST_ROWS}")
        table = pq.read_table(file)
        names = _names(table.column_names, annotation)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        raise UserError(f"not a Parquet file: {problem}", file=file) from None
    _check_columns(annotation, names, None)
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


def _names(header: Sequence[str], annotation: AnnotationFile) -> list[str]:
    """The names of columns: ours in small letters, those of classes as they are."""
    words = [name.strip() for name in header]
    known = set(annotation.classes) - set(_COLUMNS)
    return [word if word in known else word.lower() for word in words]


def _check_columns(annotation: AnnotationFile, names: list[str], delimiter: str | None) -> None:
    """Refuse columns that are doubled, unknown or missing; ``delimiter`` is None where the file has none."""
    file, labelled = annotation.path, annotation.labelled
    needed = ("id", "path", "labels") if labelled else ("id", "path")
    expected = f"the columns {', '.join(needed)}, and source if you know it"
    if delimiter is not None and len(names) == 1:
        for other in ",;\t|":
            if other != delimiter and {"id", "path"} <= {part.strip(' "') for part in names[0].split(other)}:
                raise UserError(
                    f"the columns are separated by {other!r}, not {delimiter!r}",
                    file=file,
                    line=1,
                    expected=expected,
                    fix=f"set data.delimiter = {json.dumps(other)}",
                )
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"two columns {doubled!r}", file=file, expected=expected)
    others = [name for name in names if name not in _COLUMNS]
    unknown = next((name for name in others if name not in annotation.classes), None)
    if unknown is not None:
        raise UserError(f"unknown column {unknown!r}{did_you_mean(unknown, _COLUMNS)}", file=file, expected=expected)
    if others:
        _check_classes(annotation, names, others)
    for name in needed:
        if name not in names and not (others and name == "labels"):
            raise UserError(f"no column {name!r} among {', '.join(names) or 'none'}", file=file, expected=expected)


def _check_classes(annotation: AnnotationFile, names: list[str], marked: list[str]) -> None:
    """Refuse columns of classes beside ``labels``, and those of some classes without those of the others."""
    expected = "either a column 'labels', or a column of 0 and 1 for every class"
    if "labels" in names:
        raise UserError(f"the columns 'labels' and {marked[0]!r}", file=annotation.path, expected=expected)
    lacking = [name for name in annotation.classes if name not in marked]
    if lacking:
        raise UserError(
            f"columns for {len(marked)} of {len(annotation.classes)} classes; there is none for {lacking[0]!r}",
            file=annotation.path,
            expected=expected,
        )


def _marked(rows: Rows, columns: Mapping[str, pa.Array]) -> pa.Array:
    """list<string>: of each row the columns of classes that hold 1."""
    names = [name for name in columns if name not in _COLUMNS]
    held = np.zeros((len(rows.lines), len(names)), bool)
    for at, name in enumerate(names):
        cells = pc.utf8_lower(columns[name])
        held[:, at] = pc.is_in(cells, pa.array(_YES)).to_numpy(zero_copy_only=False)
        odd = pc.index(pc.is_in(cells, pa.array((*_YES, *_NO))), pa.scalar(False)).as_py()
        if odd >= 0:
            raise rows.fail(odd, f"{cells[odd].as_py()!r} in the column {name!r}", expected="0 or 1")
    parents, at_names = held.nonzero()
    return regroup(pa.array(names, pa.string()).take(pa.array(at_names)), parents, len(held))


def _label_words(labels: pa.Array, classes: tuple[str, ...]) -> pa.Array:
    """list<string> of the words of each cell."""
    if pa.types.is_list(labels.type):
        return labels
    cells = pc.utf8_trim_whitespace(pc.fill_null(labels, ""))
    whole = pc.or_(pc.match_substring(cells, ";"), pc.is_in(cells, pa.array(classes, pa.string())))
    marked = pc.if_else(whole, cells, pc.replace_substring_regex(cells, pattern=r"\s+", replacement=";"))
    return split_words(marked, r"\s*;\s*")
