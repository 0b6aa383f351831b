"""Files of class names: a name a line, ``name,index`` a line, or a JSON object of names and indices."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tinkit.data.annotations.rows import read_text
from tinkit.data.config import ClassOrder
from tinkit.errors import UserError
from tinkit.json_file import parse_json

_NAME_INDEX = re.compile(r"^(?P<name>.*\S)\s*,\s*(?P<index>[+-]?\d+)$")


def read_categories(file: Path, order: ClassOrder) -> tuple[str, ...]:
    """The names of the classes by index.

    ``name,index`` is taken for what it is when every line ends so (names may hold commas); otherwise a line is a name.
    ``alphabetical`` sorts by code point, as TSN, TRN, TSM and TIN number the classes of Something-Something V1.
    Raises :class:`~tinkit.errors.UserError` for a doubled name, and for indices that are not 0 to n-1, each once.
    """
    names = _from_json(file) if file.suffix == ".json" else _from_lines(file)
    return tuple(sorted(names)) if order == "alphabetical" else names


def unquoted(text: str) -> str:
    """``text`` without the quotation marks that a csv writer puts around a field, if it wears them."""
    if len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1].replace('""', ""):
        return text[1:-1].replace('""', '"')
    return text


def without_brackets(template: str) -> str:
    """The class of a template: ``Holding [something]`` -> ``Holding something``."""
    return template.replace("[", "").replace("]", "")


def _from_lines(file: Path) -> tuple[str, ...]:
    numbered = [(n, line.strip()) for n, line in enumerate(read_text(file).split("\n"), 1) if line.strip()]
    if not numbered:
        raise UserError("the file is empty", file=file, expected="one class a line")
    matches = [_NAME_INDEX.match(line) for _, line in numbered]
    if all(matches):
        entries = [(n, unquoted(m["name"]), int(m["index"])) for (n, _), m in zip(numbered, matches, strict=True) if m]
    else:
        entries = [(n, unquoted(line), index) for index, (n, line) in enumerate(numbered)]
    return _by_index(file, entries)


def _from_json(file: Path) -> tuple[str, ...]:
    text = read_text(file)
    expected = 'an object of class names and indices: {"Approaching something with your camera": "0", ...}'
    pairs = parse_json(text, expected, file, pairs=True)
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        raise UserError("not an object of class names", file=file, expected=expected)
    entries, position = [], 0
    for name, index in pairs:
        quoted = [json.dumps(name), json.dumps(name, ensure_ascii=False)]
        found = max(text.find(word, position) for word in quoted)
        position = found + len(quoted[1]) if found >= 0 else position
        line = text.count("\n", 0, position) + 1
        entries.append((line, without_brackets(name), _integer(file, line, name, index)))
    return _by_index(file, entries)


def _integer(file: Path, line: int, name: str, index: Any) -> int:
    if isinstance(index, int | str) and not isinstance(index, bool) and re.fullmatch(r"\d{1,9}", str(index)):
        return int(index)
    raise UserError(f"the index of {name!r} is {index!r}", file=file, line=line, expected="an integer from 0")


def _by_index(file: Path, entries: list[tuple[int, str, int]]) -> tuple[str, ...]:
    """The names in the order of their indices; entries are (line, name, index)."""
    count = len(entries)
    lines_of_names: dict[str, int] = {}
    lines_of_indices: dict[int, int] = {}
    names = [""] * count
    for line, name, index in entries:
        if name in lines_of_names:
            raise UserError(
                f"the class {name!r} stands on line {lines_of_names[name]} already",
                file=file,
                line=line,
                expected="every class once",
            )
        if not 0 <= index < count:
            raise UserError(
                f"the index of {name!r} is {index}",
                file=file,
                line=line,
                expected=f"{count} classes with the indices 0 to {count - 1}, without holes",
            )
        if index in lines_of_indices:
            raise UserError(
                f"the index {index} of {name!r} stands on line {lines_of_indices[index]} already",
                file=file,
                line=line,
                expected=f"{count} classes with the indices 0 to {count - 1}, each once",
            )
        lines_of_names[name] = lines_of_indices[index] = line
        names[index] = name
    return tuple(names)
