"""Scores as csv: any delimiter, with or without a header, decimal points or commas."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv as arrow_csv

from tinkit.errors import UserError
from tinkit.files.text import MAX_LINE, as_utf8, read_text, require_utf8
from tinkit.foreign_scores.columns import found_in_columns
from tinkit.foreign_scores.found import Found, Hints
from tinkit.foreign_scores.words import IDS, LABELS, named, numbers_of, word

_EXPECTED = "an id, then a number a class; a header or none"
_DELIMITERS = ",;\t|: "
_SAMPLE = 20  # lines that the form is told from
_FEW = 4  # numbers in a row that could be scores as well as the header 0, 1, ...
_NUMBER = re.compile(
    r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*|\s*[-+]?(nan|inf(inity)?)\s*|\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class Form:
    """How a csv is written: its delimiter, whether its first line is a header, and whether decimals have commas."""

    delimiter: str
    header: bool
    first: tuple[str, ...]
    second: tuple[str, ...]
    comma: bool = False
    padded: bool = False
    """Whether several spaces stand for one."""


def read_delimited(path: Path, hints: Hints) -> Found:
    """The scores in a csv. Raises :class:`~tinkit.errors.UserError`, naming the line where one is to blame."""
    form = _form(path, hints)
    names = [name.strip().lstrip("#").strip() for name in form.first] if form.header else _places(form)
    if form.header and len(set(names)) < len(names):
        raise UserError("two columns have the same name", file=path, line=1)
    types = _types(names, form, hints)
    options = arrow_csv.ConvertOptions(column_types=types, decimal_point="," if form.comma else ".")
    reading = arrow_csv.ReadOptions(column_names=names, skip_rows=int(form.header))
    parsing = arrow_csv.ParseOptions(delimiter=form.delimiter)
    try:
        with path.open("rb") as handle:
            source = _squeezed(path) if form.padded else as_utf8(handle, path)
            table = arrow_csv.read_csv(source, reading, parsing, options)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        require_utf8(path)
        raise UserError(f"not a csv of scores: {error}"[:500], file=path, expected=_EXPECTED) from error
    said = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces"}.get(form.delimiter, repr(form.delimiter))
    words = f"csv with {said}, {'a header' if form.header else 'without a header'}"
    return found_in_columns(table, hints, path, words, named_columns=form.header)


def _form(path: Path, hints: Hints) -> Form:
    with path.open("rb") as handle:
        text = io.TextIOWrapper(as_utf8(handle, path), errors="replace", newline="")
        lines = [line for line in (text.readline(MAX_LINE) for _ in range(_SAMPLE)) if line.strip()]
    if not lines:
        raise UserError("not a csv of scores: it is empty", file=path, expected=_EXPECTED)
    delimiter = _delimiter(lines, hints)
    padded = delimiter == " " and any("  " in line.strip("\r\n") or line[:1] == " " for line in lines)
    if padded:
        lines = [re.sub(" +", " ", line).strip(" ") for line in lines]
    rows = [tuple(row) for row in itertools.islice(csv.reader(lines, delimiter=delimiter), 2)]
    first, second = rows[0], rows[1] if len(rows) > 1 else ()
    header = _has_header(path, first, hints)
    data = second if header else first
    comma = delimiter != "," and any("," in cell for cell in data[1:]) and not any("." in cell for cell in data[1:])
    return Form(delimiter, header, first, second, comma, padded)


def _delimiter(lines: Sequence[str], hints: Hints) -> str:
    """The delimiter that cuts most lines into equally many fields, of which there are most."""
    if hints.delimiter is not None:
        return hints.delimiter
    best, most = ",", (0, 1)
    for delimiter in _DELIMITERS:
        rows = [line.strip(" ") if delimiter == " " else line for line in lines]
        rows = [re.sub(" +", " ", row) for row in rows] if delimiter == " " else rows
        try:
            widths = [len(row) for row in csv.reader(rows, delimiter=delimiter)]
        except csv.Error:
            continue
        width = max(set(widths), key=lambda one: (widths.count(one), one), default=1)
        found = (widths.count(width) if width > 1 else 0, width)
        if found > most:
            best, most = delimiter, found
    return best


def _has_header(path: Path, first: Sequence[str], hints: Hints) -> bool:
    if hints.header is not None:
        return hints.header
    cells = [cell.strip() for cell in first]
    if not all(_NUMBER.fullmatch(cell) for cell in cells[1:]) or (len(cells) > 1 and not any(cells[1:])):
        return True
    if bool(named([cells[0].lstrip("#")], IDS)) or len(cells) == 1:
        return True
    numbers = numbers_of(cells[1:])
    counted = numbers is not None and sorted(numbers) in (
        list(range(len(numbers))),
        list(range(1, len(numbers) + 1)),
    )
    if counted and len(cells) > _FEW:
        return True
    if counted:
        raise UserError(
            f"the first line, {','.join(cells)!r}, may be a header or a clip",
            file=path,
            line=1,
            fix="say which: --header or --no-header",
        )
    return False


def _places(form: Form) -> list[str]:
    return [f"column {place}" for place in range(len(form.first))]


def _types(names: Sequence[str], form: Form, hints: Hints) -> dict[str, pa.DataType]:
    """The type of each column: ids stay the text that they are, scores are numbers, and what is neither is text."""
    data = form.second if form.header else form.first
    cells = {name: data[place] if place < len(data) else "" for place, name in enumerate(names)}
    labels = {str(name) for name in named(names, LABELS)} - set(hints.classes or ()) if form.header else set()
    types: dict[str, pa.DataType] = {}
    for name, cell in cells.items():
        if name in labels and re.fullmatch(r"\s*-?\d+\s*", cell):
            types[name] = pa.int64()
        elif _NUMBER.fullmatch(cell) or _looks_like_score(name, form, hints):
            types[name] = pa.float32()
        else:
            types[name] = pa.string()
    if (ids := _id_name(names, types, form, hints)) is not None:
        types[ids] = pa.string()
    return types


def _id_name(names: Sequence[str], types: dict[str, pa.DataType], form: Form, hints: Hints) -> str | None:
    """The column of ids: named so, else the first of text, else the first of all where it can be no score."""
    if hints.ids is not None:
        return hints.ids if hints.ids in names else None
    texts = [name for name in names if types[name] == pa.string()]
    known = [str(name) for name in named(names, IDS)] if form.header else []
    known = [name for name in known if word(name) != "index" or name in texts]
    if known or texts:
        return (known or texts)[0]
    counted = re.fullmatch(r"\s*\d+\s*", next(iter(form.second if form.header else form.first), "")) is not None
    return names[0] if counted and hints.has_ids and len(names) != len(hints.classes or ()) else None


def _looks_like_score(name: str, form: Form, hints: Hints) -> bool:
    """Whether a column holds scores by its name, so that text in it is an error."""
    if not form.header:
        return False
    return name in (hints.classes or ()) or numbers_of([name]) is not None


def _squeezed(path: Path) -> BinaryIO:
    """The file with one space where it has several."""
    lines = (re.sub(" +", " ", line).strip(" ") for line in read_text(path).split("\n"))
    return io.BytesIO("\n".join(lines).encode())
