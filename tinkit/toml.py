"""TOML files that remember the line of each key, and pydantic's complaints about them as errors that point there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tinkit.errors import UsageError, UserError, did_you_mean

Place = tuple[Path | None, int | None]
"""A file and a line; no file for what the command line said."""

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_MAX_BYTES = 1 << 20  # a recipe is a page; anything larger is another kind of file


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
    """Parse ``path``; raises :class:`~tinkit.errors.UserError` with the line of a mistake."""
    try:
        with path.open("rb") as handle:
            data = handle.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UserError(f"larger than {_MAX_BYTES >> 20} MiB", file=path, expected="a TOML file of a few kilobytes")
        text = data.decode("utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError("is not UTF-8 text", file=path, line=line, expected="a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise UserError(
            f"not valid TOML: {error}",
            file=path,
            line=int(found.group(1)) if found else None,
            expected="lines like `lr = 0.02`, texts in double quotes, tables like `[optim]`",
        ) from error
    return TomlFile(path, values, _key_lines(text))


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


def explain(error: ValidationError, model: type[BaseModel], place: Callable[[Sequence[str]], Place]) -> UserError:
    """All that pydantic found wrong with values for ``model``: each with its file and line, and the nearest known word.

    ``place`` says where the key at a location (``["optim", "lr"]``) was given; what has no file was said on the command
    line and is a :class:`~tinkit.errors.UsageError`.
    """
    problems = [_problem(detail, model, place) for detail in error.errors(include_url=False)]
    if len(problems) == 1:
        return problems[0]
    return type(problems[0])("\n".join(str(problem) for problem in problems))


def _problem(detail: Any, model: type[BaseModel], place: Callable[[Sequence[str]], Place]) -> UserError:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    fields = _fields_at(model, location[:-1])
    expected: str | None = fields[location[-1]].description if location and location[-1] in fields else None
    match detail["type"]:
        case "extra_forbidden":
            problem = f"unknown key {key!r}{did_you_mean(location[-1], fields)}"
            expected = f"one of: {', '.join(sorted(fields))}"
        case "missing":
            problem = f"{key!r} is missing"
            expected = expected or f"`{location[-1]} = ...`" + (f" under [{location[0]}]" if location[1:] else "")
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            shown = "" if isinstance(detail["input"], dict | BaseModel) else f" = {_short(detail['input'])}"
            problem = (f"{key}{shown}: {message}" if key else message) + _nearest_choice(detail)
            # a check of the whole table names the key that it is about first
            location += re.findall(r"[a-z_]+", message.split(maxsplit=1)[0]) if message[:1].islower() else []
    file, line = place(location)
    return (UserError if file else UsageError)(problem, file=file, line=line, expected=expected)


def _nearest_choice(detail: Any) -> str:
    if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
        return ""
    return did_you_mean(detail["input"], re.findall(r"'([^']+)'", detail["ctx"]["expected"]))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> dict[str, Any]:
    """The known keys of the table at ``location``; none where it is no table of its own."""
    for part in location:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        tables = [kind for kind in _types_in(field.annotation if field else None) if _is_model(kind)]
        if not tables:
            return {}
        model = tables[0]
    return dict(model.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _types_in(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (tuple, list, Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in _types_in(inner)]
    return [annotation]


def _key_lines(text: str) -> dict[str, int]:
    """Where each key stands. A scan by line: tomllib has accepted the text already, so only the shapes matter."""
    lines: dict[str, int] = {}
    prefix = ""
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            prefix = _unquote(header.group(2))
            if header.group(1) == "[[":
                index = counts.get(prefix, 0)
                counts[prefix] = index + 1
                lines.setdefault(prefix, number)
                prefix = f"{prefix}.{index}"
            lines.setdefault(prefix, number)
        elif key := _KEY.match(line):
            name = _unquote(key.group(1))
            lines.setdefault(f"{prefix}.{name}" if prefix else name, number)
    return lines


def _unquote(dotted: str) -> str:
    parts = (part.strip() for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted))
    return ".".join(part.strip("\"'") for part in parts if part)
