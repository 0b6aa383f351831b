"""Files of class names, in every numbering: a name a line, ``name,index``, ``1 Name``, csv, JSON.

A number is part of the numbering, and not of the name, only where the numbers of all lines are 0 to n-1 or 1 to n. What
could be either, or lacks a number, is refused with its line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.class_headers import INDEX_WORDS, NAME_WORDS, is_header, is_table, unquoted, word_of
from tinkit.files.json import parse_json
from tinkit.files.text import read_lines, read_text

Line = tuple[int, str]
Entry = tuple[int, str, int]  # line, name, index

_NUMBERING = (
    re.compile(r'^(?P<name>.*\S)\s*[,;\t]\s*"?(?P<index>[+-]?\d+)"?$'),
    re.compile(r'^"?(?P<index>[+-]?\d+)"?\s*[,;\t]\s*(?P<name>\S.*)$'),
)
"""Numbering that a delimiter marks as such."""

_PERHAPS = (
    re.compile(r"^(?P<prefix>[A-Za-z]?)(?P<index>\d+)(?:\s*[.:)])?\s+(?P<name>\S.*)$"),
    re.compile(r"^(?P<prefix>)(?P<name>.*\S)\s+(?P<index>\d+)$"),
)
"""Numbers that may as well belong to the names: ``1 ApplyEyeMakeup``, ``c000 Holding``; ``2 people``."""

_LARGE = 10**9  # in place of an index of more digits than any count of classes has
_FEW = 4  # numbered lines, of such numbers, from which another line among them is a fault

_EXPECTED = "a class a line, `name,index`, `index,name`, or a csv with columns such as id and name"


@dataclass(frozen=True)
class ClassNames:
    """The names by index, and what the file calls the first: 0, 1, or None where it does not number them."""

    names: tuple[str, ...]
    first: int | None = None


def read_class_names(file: Path, count: int | None = None) -> ClassNames:
    """The class names in ``file``, of which there are ``count`` if that is known.

    A header, a first line that counts the rest, numbers from 0 or 1 before or behind the names, and quotation marks
    are taken for what they are. Raises :class:`~tinkit.errors.UserError`, which names the line, for a doubled name,
    for numbers with holes, and for a line that is not like the others.
    """
    if file.suffix.lower() == ".json":
        return _from_json(file)
    lines = [(number, line) for number, line in enumerate(read_lines(file), 1) if line]
    if not lines:
        raise UserError("the file is empty", file=file, expected="one class a line")
    return _from_table(file, lines) or _from_lines(file, lines, count)


def without_brackets(template: str) -> str:
    """The class of a template: ``Holding [something]`` -> ``Holding something``."""
    return template.replace("[", "").replace("]", "")


def _from_lines(file: Path, lines: list[Line], count: int | None) -> ClassNames:
    if len(lines) > 1 and _is_integer(lines[0][1]) and not all(_is_integer(text) for _, text in lines):
        _refuse_other_count(file, lines)
        lines = lines[1:]
    for form in _NUMBERING:
        if entries := _numbered(file, lines, form):
            return _by_index(file, entries)
    for form in _PERHAPS:
        if entries := _perhaps_numbered(file, lines, form):
            return _by_index(file, entries)
    lines = _without_header(file, lines, count)
    return ClassNames(_by_index(file, [(n, unquoted(text), i) for i, (n, text) in enumerate(lines)]).names)


def _numbered(file: Path, lines: list[Line], form: re.Pattern[str]) -> list[Entry] | None:
    """The entries of lines that a delimiter numbers, without a header; None where they are not of that form."""
    found = [_entry(number, form.match(text)) for number, text in lines]
    entries = [entry for entry in found if entry]
    odd = next((index for index, entry in enumerate(found) if entry is None), None)
    if odd is None:
        return entries
    columns = max(lines[0][1].count(mark) for mark in ",;\t") + 1
    certain = columns <= 2 and (len(entries) > 1 or is_header(lines[0][1]))
    if odd == 0 and len(entries) == len(lines) - 1 and _start(entries) is not None and certain:
        return entries
    if len(entries) > 1 and 2 * len(entries) >= len(lines) and _in_order(found):
        raise _unlike(file, lines[odd], len(entries))
    return None


def _perhaps_numbered(file: Path, lines: list[Line], form: re.Pattern[str]) -> list[Entry] | None:
    """As ``_numbered`` where a space alone is between number and name: None where they may be one."""
    matches = [form.match(text) for _, text in lines]
    found = [_entry(number, match) for (number, _), match in zip(lines, matches, strict=True)]
    entries = [entry for entry in found if entry]
    prefixes = {match["prefix"] for match in matches if match}
    if len(entries) < 2 or len(prefixes) > 1 or len({name for _, name, _ in entries}) < len(entries):
        return None
    certain = found[0] is not None or is_header(lines[0][1])
    if len(entries) == len(lines) - (found[0] is None) and _start(entries) is not None and certain:
        if _in_order(found):
            return entries
        if len(entries) >= _FEW:
            raise _unclear(file, lines[-len(entries)])
    if _FEW <= len(entries) < len(lines) <= 2 * len(entries) and _in_order(found):
        raise _unlike(file, lines[found.index(None)], len(entries))
    return None


def _entry(number: int, match: re.Match[str] | None) -> Entry | None:
    if match is None:
        return None
    index = int(match["index"]) if len(match["index"]) <= 9 else _LARGE
    return number, unquoted(match["name"].strip()), index


def _start(entries: Sequence[Entry]) -> int | None:
    """0 or 1 where the indices are all from there on, each once."""
    indices = sorted(index for _, _, index in entries)
    return next((first for first in (0, 1) if indices == list(range(first, first + len(indices)))), None)


def _in_order(found: Sequence[Entry | None]) -> bool:
    """Whether the lines that have a number have that of their place, from 0 or 1, a header counted or not."""
    shifts = {entry[2] - place for place, entry in enumerate(found) if entry}
    return len(shifts) == 1 and shifts <= {-1, 0, 1}


def _unlike(file: Path, line: Line, count: int) -> UserError:
    return UserError(
        f"{line[1]!r} has no number, and {count} other lines have",
        file=file,
        line=line[0],
        expected=_EXPECTED,
        fix="number every class or none; if the line is a header, delete it",
    )


def _unclear(file: Path, line: Line) -> UserError:
    return UserError(
        f"the number in {line[1]!r} may number the class or belong to its name: no number is there twice, nor in order",
        file=file,
        line=line[0],
        expected=_EXPECTED,
        fix="put a comma between number and name if it numbers the class, and names into quotation marks if not",
    )


def _refuse_other_count(file: Path, lines: list[Line]) -> None:
    """The first line is a number alone, among names: it counts them, or the file is wrong."""
    number, text = lines[0]
    if text.lstrip("0") != str(len(lines) - 1):
        raise UserError(
            f"the first line is {text!r}, and {len(lines) - 1} lines follow",
            file=file,
            line=number,
            expected=_EXPECTED,
            fix="delete the line; if it is the name of a class, put it into quotation marks",
        )


def _without_header(file: Path, lines: list[Line], count: int | None) -> list[Line]:
    """Lines of names alone without a header, where ``count`` says that there is one."""
    number, text = lines[0]
    if len(lines) == 1 or count == len(lines) or not (is_header(text) or is_table([line for _, line in lines])):
        return lines
    if count == len(lines) - 1:
        return lines[1:]
    raise UserError(
        f"the first line, {text!r}, may be a header",
        file=file,
        line=number,
        expected=_EXPECTED,
        fix=f"delete it; if it is the name of a class, say so with data.num_classes = {len(lines)}",
    )


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _from_table(file: Path, lines: list[Line]) -> ClassNames | None:
    """The names in a csv of three columns or more, whose header says which column is which; else None."""
    for delimiter in ",;\t":
        header = [word_of(field) for field in lines[0][1].split(delimiter)]
        names = [word for word in NAME_WORDS if word in header]
        indices = [word for word in INDEX_WORDS if word in header]
        if len(header) >= 3 and names and indices and len(set(header)) == len(header):
            columns = header.index(names[0]), header.index(indices[0])
            return _by_index(file, list(_table_entries(file, delimiter, len(header), *columns)))
    return None


def _table_entries(file: Path, delimiter: str, width: int, name_at: int, index_at: int) -> Iterator[Entry]:
    reader = csv.reader(read_text(file).split("\n"), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        next(row for row in reader if row)
        for row in filter(None, reader):
            if len(row) != width or not re.fullmatch(r"\d{1,9}", row[index_at].strip()):
                raise UserError(
                    f"the row has {len(row)} fields, or its index is not a number",
                    file=file,
                    line=reader.line_num,
                    expected=f"{width} fields, as the header, with an index from 0 or 1",
                )
            yield reader.line_num, row[name_at].strip(), int(row[index_at])
    except csv.Error as problem:
        raise UserError(f"not csv: {problem}", file=file, line=reader.line_num) from None


def _from_json(file: Path) -> ClassNames:
    text = read_text(file)
    expected = 'an object of class names and indices: {"Approaching something with your camera": "0", ...}'
    pairs = parse_json(text, expected, file, pairs=True)
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        raise UserError("not an object of class names", file=file, expected=expected)
    turned = all(_is_integer(key) and isinstance(value, str) and not _is_integer(value) for key, value in pairs)
    entries = []
    for line, (key, value) in zip(_key_lines(text, [key for key, _ in pairs]), pairs, strict=True):
        name, index = (value, key) if turned else (key, value)
        entries.append((line, without_brackets(name), _index(file, line, name, index)))
    return _by_index(file, entries)


def _key_lines(text: str, keys: Sequence[str]) -> Iterator[int]:
    """The line of each key, which follow one another in ``text``; approximate where one is written with escapes."""
    position = line = 0
    for key in keys:
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        found = text.find(quoted, position)
        if found >= 0:
            line += text.count("\n", position, found)
            position = found
        yield line + 1
        position += len(quoted) if found >= 0 else 0


def _index(file: Path, line: int, name: str, index: Any) -> int:
    if isinstance(index, int | str) and not isinstance(index, bool) and re.fullmatch(r"\d{1,9}", str(index)):
        return int(index)
    raise UserError(f"the index of {name!r} is {index!r}", file=file, line=line, expected="an integer from 0 or 1")


def _by_index(file: Path, entries: list[Entry]) -> ClassNames:
    """The names in the order of their indices, which are from 0, or all from 1."""
    count = len(entries)
    start = _start(entries)
    first = start or 0
    lines_of_names: dict[str, int] = {}
    lines_of_indices: dict[int, int] = {}
    names = [""] * count
    for line, name, index in entries:
        problem = None
        if name in lines_of_names:
            problem = f"the class {name!r} stands on line {lines_of_names[name]} already"
        elif index in lines_of_indices:
            problem = f"the index {index} of {name!r} stands on line {lines_of_indices[index]} already"
        elif not 0 <= index - first < count:
            problem = f"the index of {name!r} is {index if index < _LARGE else 'far too large'}"
        if problem:
            raise UserError(
                problem,
                file=file,
                line=line,
                expected=f"{count} classes, every name once, with the indices 0 to {count - 1} or 1 to {count}",
            )
        lines_of_names[name] = lines_of_indices[index] = line
        names[index - first] = name
    return ClassNames(tuple(names), start)
