"""TSN-style lists: ``path frames label[,label...]`` and the variants that mmaction2 reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.layouts.layout import AnnotationFile, ListColumns
from tinkit.data.layouts.rows import Rows, split_words, text_lines
from tinkit.errors import UserError

_NUMBERS_BEFORE_LABELS: dict[ListColumns, int] = {
    "path frames labels": 1,
    "path labels": 0,
    "path start frames labels": 2,
}
_MOST_FRAMES = 2**31 - 1


def read_list(annotation: AnnotationFile) -> Rows:
    """The rows of a list.

    The annotation's delimiter (spaces or tabs if None) separates fields; commas, or the delimiter, separate labels.

    A path may hold spaces where only one reading is possible: the line then ends in exactly the declared numbers, the
    labels in one word. With ``path start frames labels`` the id is ``path start frames``, since a video may be listed
    several times; otherwise it is the path. The frames of a list without start are kept as *stated* only.
    Where labels are not needed the numbers after the path may be missing.
    """
    delimiter = annotation.delimiter
    numbers = _NUMBERS_BEFORE_LABELS[annotation.columns]
    lines_at, lines = text_lines(annotation.path)
    fields = _fields_by_pattern(lines, numbers, delimiter)
    odd = pc.is_null(fields).to_numpy(zero_copy_only=False)
    paths, ints, labels = (pc.struct_field(fields, name) for name in ("path", "ints", "labels"))
    if odd.any():
        columns_of_text = [column.to_pylist() for column in (paths, ints, labels)]
        for index in odd.nonzero()[0].tolist():
            row = _fields_of_line(annotation, int(lines_at[index]), lines[index].as_py())
            for column, word in zip(columns_of_text, row, strict=True):
                column[index] = word
        paths, ints, labels = (pa.array(column, pa.string()) for column in columns_of_text)
    paths, ints = paths.cast(pa.string()), ints.cast(pa.string())
    words = split_words(labels.cast(pa.string()), r"[\s,]+" if delimiter is None else f"[{re.escape(delimiter)},\\s]+")
    rows = Rows(file=annotation.path, lines=lines_at, ids=paths, paths=paths, labels=words)
    return rows if numbers == 0 else _with_frames(rows, ints, numbers)


def read_pyslowfast(annotation: AnnotationFile) -> Rows:
    """The rows of a list of PySlowFast: path and label, between spaces unless the delimiter says otherwise."""
    return read_list(replace(annotation, columns="path labels"))


def _fields_by_pattern(lines: pa.Array, numbers: int, delimiter: str | None) -> pa.Array:
    """struct(path, ints, labels) of the lines of the usual form, null for the others."""
    gap = r"\s+" if delimiter is None else rf"\s*{re.escape(delimiter)}\s*"
    path = r"\S+" if delimiter is None else f"[^{re.escape(delimiter)}]*?[^{re.escape(delimiter)}\\s]"
    between = r"[,\s]+" if delimiter is None else rf"(?:\s*{re.escape(delimiter)}\s*|[,\s]+)"
    ints = rf"(?P<ints>\d{{1,18}}(?:{gap}\d{{1,18}}){{{numbers - 1}}}){gap}" if numbers else r"(?P<ints>)"
    return pc.extract_regex(lines, rf"^(?P<path>{path}){gap}{ints}(?P<labels>[+-]?\d+(?:{between}[+-]?\d+)*)$")


def _fields_of_line(annotation: AnnotationFile, number: int, line: str) -> tuple[str, str, str]:
    """Path, numbers and labels of a line that is not of the usual form, or the error that says why there are none."""
    file, columns, delimiter = annotation.path, annotation.columns, annotation.delimiter
    numbers = _NUMBERS_BEFORE_LABELS[columns]
    words = line.split() if delimiter is None else [word.strip() for word in line.split(delimiter)]
    if delimiter is not None:
        tail = len(words) - 1
    else:
        tail = 0
        while tail < len(words) - 1 and re.fullmatch(r"[+-]?\d+(,[+-]?\d+)*", words[-1 - tail]):
            tail += 1
    spaced = delimiter is None and tail < len(words) - 1
    expected = f"'{columns}'" + ("" if delimiter is None else f" between {delimiter!r}")
    if spaced and tail > numbers + 1:
        raise UserError(
            f"where the path ends is not clear: {line!r}",
            file=file,
            line=number,
            expected=expected,
            fix="write a list with another delimiter, such as a tab, and set data.delimiter",
        )
    path = " ".join(words) if tail == 0 else line[: _end_of_path(line, words, tail)]
    rest = words[len(words) - tail :] if tail else []
    if annotation.labelled and len(rest) <= numbers:
        problem = (
            f"{words[-1]!r} is not a number"
            if tail == 0 and len(words) > 1
            else f"too few numbers after the path: {line!r}"
        )
        raise UserError(problem, file=file, line=number, expected=expected, fix=_advice(line, columns, delimiter))
    ints = [*rest[:numbers], *["-1"] * (numbers - len(rest))]
    bad = next((word for word in ints if not re.fullmatch(r"\d{1,18}|-1", word)), None)
    if bad is not None:
        raise UserError(f"{bad!r} is not a number of frames", file=file, line=number, expected=expected)
    return (path if delimiter is None else words[0]), " ".join(ints), ",".join(rest[numbers:])


def _advice(line: str, columns: ListColumns, delimiter: str | None) -> str | None:
    """What to set where a line has the fields of another kind of list, or none."""
    wanted = _NUMBERS_BEFORE_LABELS[columns] + 1
    for other in ",;|\t":
        fields = [field.strip() for field in line.split(other)]
        if other != delimiter and len(fields) > wanted and all(re.fullmatch(r"[+-]?\d+", f) for f in fields[1:]):
            return f"set data.delimiter = {json.dumps(other)}"
    words = line.split() if delimiter is None else line.split(delimiter)
    numbers = sum(re.fullmatch(r"[+-]?\d+", word.strip()) is not None for word in words[1:])
    if len(words) == numbers + 1 and numbers == 1 and columns != "path labels":
        return "set data.columns = 'path labels' if the number is a label; else name the split in data.unlabelled"
    return "name the split in data.unlabelled if its labels are not known" if not numbers else None


def _end_of_path(line: str, words: list[str], tail: int) -> int:
    """Where the path ends in a line whose last ``tail`` words are numbers; spaces inside the path stay as they are."""
    position = len(line)
    for word in reversed(words[-tail:]):
        position = line.rindex(word, 0, position)
    return len(line[:position].rstrip())


def _with_frames(rows: Rows, ints: pa.Array, numbers: int) -> Rows:
    """``rows`` with the numbers that stand before the labels: frames, or start and frames."""
    words = pc.split_pattern_regex(ints, r"[^\d-]+")
    columns = []
    for place in range(numbers):
        column = pc.list_element(words, place).cast(pa.int64())
        large = pc.index(pc.greater(column, _MOST_FRAMES), pa.scalar(True)).as_py()
        if large >= 0:
            raise rows.fail(large, f"{column[large].as_py()} frames", expected=f"at most {_MOST_FRAMES}")
        columns.append(pc.if_else(pc.less(column, 0), None, column).cast(pa.int32()))
    if numbers == 1:
        return Rows(rows.file, rows.lines, rows.ids, rows.paths, rows.labels, stated=columns[0])
    ids = pc.binary_join_element_wise(
        rows.paths, *(pc.fill_null(column, 0).cast(pa.string()) for column in columns), " "
    )
    return Rows(rows.file, rows.lines, ids, rows.paths, rows.labels, stated=columns[1], start=columns[0])
