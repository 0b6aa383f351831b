"""TOML files that remember the line of each key, and pydantic's complaints about them as errors that point there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tinkit.errors import UsageError, UserError, did_you_mean, short
from tinkit.expected import expected, is_choice_of_types
from tinkit.files.reading import read_bounded
from tinkit.files.toml_lines import key_lines, longest_key
from tinkit.table import tables_in

Place = tuple[Path | None, int | None]
"""A file and a line; no file for what the command line said."""

_MAX_BYTES = 1 << 20  # a recipe is a page; anything larger is another kind of file
_DEEPEST = 32  # tables in tables; no key of ours lies deeper than four
_MOST_PROBLEMS = 10
_NO_ALIASES: Mapping[str, str] = MappingProxyType({})
_TOO_DEEP = f"tables or lists nested more than {_DEEPEST} deep"


@dataclass(frozen=True)
class TomlFile:
    """A parsed file: ``values`` as nested dicts, and ``lines`` from a dotted key to its line (from 1)."""

    path: Path
    values: dict[str, Any]
    lines: dict[str, int]

    def line(self, key: str) -> int | None:
        """The line of ``key``, or of the nearest table around it."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            if (line := self.lines.get(".".join(parts[:length]))) is not None:
                return line
        return None

    def place(self, location: Sequence[str]) -> Place:
        """The file and the line of the key at ``location``, or of the nearest table around it."""
        return self.path, self.line(".".join(location))


def read_toml(path: Path) -> TomlFile:
    """Parse ``path``; raises :class:`~tinkit.errors.UserError` with the line of a mistake.

    What no key of ours takes is refused here, whatever its key: dates, numbers of more than 64 bits, NUL in a text.
    """
    text = _text_of(path)
    if longest_key(text) > _DEEPEST and (line := _line_of_long_key(text)):
        raise UserError(f"a dotted key of more than {_DEEPEST} parts", file=path, line=line, expected="a TOML file")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise UserError(
            f"not valid TOML: {error}",
            file=path,
            line=int(found.group(1)) if found else None,
            expected="lines like `lr = 0.02`, texts in double quotes, tables like `[optim]`",
        ) from error
    except RecursionError as error:
        raise UserError(_TOO_DEEP, file=path, expected="a TOML file of a page") from error
    except ValueError as error:  # Python refuses numbers of more than 4,300 digits, and a 25th hour
        raise UserError(
            f"a value that cannot be read: {str(error).partition(';')[0]}", file=path, expected="a TOML file of a page"
        ) from error
    file = TomlFile(path, values, key_lines(text))
    if strange := strange_value(values):
        key = ".".join(strange[0])
        raise UserError(f"{key or 'a key'}: {strange[1]}", file=path, line=file.line(key))
    return file


def strange_value(values: Any) -> tuple[list[str], str] | None:
    """The location of the first value that no key takes, and what is wrong with it; None where all are plain."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), values)]
    while pending:
        location, value = pending.pop()
        if len(location) > _DEEPEST:
            return list(location[:4]), _TOO_DEEP
        if isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [((*location, str(key)), item) for key, item in inner]
            value = "".join(value) if isinstance(value, dict) else ""  # a key is a text too
        if wrong := _wrong_with(value):
            return list(location), wrong
    return None


def _wrong_with(value: Any) -> str | None:
    if isinstance(value, date | time):
        return f"{value.isoformat()} is a date or a time, which no key takes; write a text in quotes"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a whole number of more than 64 bits"
    if isinstance(value, str):
        if "\0" in value:
            return f"{short(value)} holds a NUL character"
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return f"{short(value)} is not valid text: it holds half a surrogate pair, or bytes that are not UTF-8"
    return None


def _text_of(path: Path) -> str:
    data = read_bounded(path, _MAX_BYTES, "a TOML file of a few kilobytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]
        raise UserError(
            "is UTF-16 text, and TOML is UTF-8" if wide else "holds zero bytes: not a text",
            file=path,
            line=None if wide else data[: data.index(b"\0")].count(b"\n") + 1,
            expected="a TOML file in UTF-8",
            fix="save it again as UTF-8" if wide else None,
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError("is not UTF-8 text", file=path, line=line, expected="a TOML file in UTF-8") from error


def _line_of_long_key(text: str) -> int | None:
    return next((number for number, line in enumerate(text.split("\n"), 1) if longest_key(line) > _DEEPEST), None)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict of dotted keys; lists and empty dicts stay values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def explain(
    error: ValidationError,
    model: type[BaseModel],
    place: Callable[[Sequence[str]], Place],
    aliases: Mapping[str, str] = _NO_ALIASES,
) -> UserError:
    """All that pydantic found wrong with values for ``model``: each with its file and line, and the nearest known word.

    ``place`` says where the key at a location (``["optim", "lr"]``) was given; what has no file was said on the command
    line and is a :class:`~tinkit.errors.UsageError`. ``aliases``: other programs' names of a key to its own.
    """
    chosen: list[Any] = []
    told: set[tuple[str, ...]] = set()  # keys, and what lies around them
    for detail in error.errors(include_url=False):
        if detail["type"] == "missing" and isinstance(detail["loc"][-1], int):  # an item of a list of so many
            detail |= {"type": "too_short", "loc": detail["loc"][:-1], "msg": "too few items"}
        key = tuple(_located(model, detail["loc"])[0]) or (detail["msg"],)
        if key not in told:  # of a key that takes several types there are several
            chosen.append(detail)
            told |= {key[:length] for length in range(1, len(key) + 1)}
    problems = [_problem(detail, model, place, aliases) for detail in chosen[:_MOST_PROBLEMS]]
    if len(problems) == 1:
        return problems[0]
    rest = len(chosen) - len(problems)
    lines = [*map(str, problems), *([f"and {rest} more problems"] if rest else [])]
    return type(problems[0])("\n".join(lines))


def _problem(
    detail: Any, model: type[BaseModel], place: Callable[[Sequence[str]], Place], aliases: Mapping[str, str]
) -> UserError:
    location, field, fields = _located(model, detail["loc"])
    key = ".".join(location)
    words = expected(field) if field is not None else None
    match detail["type"]:
        case "extra_forbidden":
            own = _own_name(key, model, aliases)
            if "." in location[-1] and own == location[-1]:
                hint = f": in quotes a dot is part of the name; write {own} without them"
            else:
                hint = f"; here it is {own!r}" if own else did_you_mean(location[-1], fields)
            problem = f"unknown key {short(key)}{hint}"
            words = f"one of: {', '.join(sorted(fields))}"
        case "missing":
            problem = f"{key!r} is missing"
            words = f"`{location[-1]} = ...`" + (f" under [{location[0]}]" if location[1:] else "") + f": {words}"
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            if field is not None and (is_choice_of_types(field) or message.startswith("Input is not a valid path")):
                message = message if detail["type"] == "value_error" else "not a value that this key takes"
            shown = "" if isinstance(detail["input"], dict | BaseModel) else f" = {short(detail['input'])}"
            problem = (f"{key}{shown}: {message}" if key else message) + _nearest_choice(detail)
            # a check of the whole table names the key that it is about first
            location += re.findall(r"[a-z_0-9]+", message.split(maxsplit=1)[0]) if message[:1].islower() else []
            about = _located(model, location)[1]
            words = expected(about) if about is not None and not tables_in(about.annotation) else words
    file, line = place(location)
    return (UserError if file else UsageError)(problem, file=file, line=line, expected=words)


def _own_name(key: str, model: type[BaseModel], aliases: Mapping[str, str]) -> str | None:
    """What ``key`` is called here, where it is another program's name or belongs to another table."""
    last = key.rpartition(".")[2]
    for name, table in model.model_fields.items():
        for inner in tables_in(table.annotation):
            if last in inner.model_fields and aliases:
                return f"{name}.{last}"
    return aliases.get(last.lower().replace("-", "_"))


def _nearest_choice(detail: Any) -> str:
    if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
        return ""
    return did_you_mean(detail["input"], re.findall(r"'([^']+)'", detail["ctx"]["expected"]))


def _located(
    model: type[BaseModel], location: Sequence[int | str]
) -> tuple[list[str], FieldInfo | None, dict[str, FieldInfo]]:
    """The key at pydantic's ``location``, its field if it is known, and the keys of the table around it.

    Pydantic adds the tag of a union's branch to a location, which is not part of the key.
    """
    path: list[str] = []
    field: FieldInfo | None = None
    table: type[BaseModel] | None = model
    fields = dict(model.model_fields)
    for part in map(str, location):
        if part.isdigit() and path:
            path.append(part)
        elif table is not None:
            path.append(part)
            fields = dict(table.model_fields)
            field = fields.get(part)
            inner = tables_in(field.annotation) if field else []
            table = inner[0] if inner else None
        elif field is not None and "dict" in str(field.annotation) and part != "[key]":
            path.append(part)
        else:
            break
    return path, field, fields
