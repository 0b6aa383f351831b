"""TOML files as flat tables of dotted keys that remember their line, for errors that point at it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.errors import UserError

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
            expected='lines like `lr = 0.02`, texts in double quotes, tables like `[optim]`',
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
