"""Class names, for judging a file that somebody else wrote: from a category file or from a score file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from tinkit.errors import UserError
from tinkit.submission.text import open_bytes, read_lines, require_file

_MAX_JSON = 64 << 20


def read_classes(path: Path, order: Literal["file", "alphabetical"]) -> tuple[str, ...]:
    """The names of all classes by index.

    ``path`` is a score file, ``name,index`` lines, a json of ``{name: index}``, or a name a line, which ``order``
    numbers. Raises :class:`~tinkit.errors.UserError` for doubled names and for indices that are not 0 to C - 1.
    """
    require_file(path)
    if path.suffix.lower() == ".arrow":
        from tinkit.scores import read_info

        return tuple(read_info(path).classes)
    pairs = _json_pairs(path) if path.suffix.lower() == ".json" else _line_pairs(path)
    names = [name for name, _ in pairs]
    if not names:
        raise UserError("names no class", file=path, expected="a class a line")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{name!r} is there twice", file=path)
        seen.add(name)
    indices = [index for _, index in pairs]
    if None in indices:
        return tuple(sorted(names) if order == "alphabetical" else names)
    by_index = {index: name for name, index in pairs}
    if set(by_index) != set(range(len(names))):
        raise UserError(f"the indices are not 0 to {len(names) - 1}, each once", file=path)
    return tuple(by_index[i] for i in range(len(names)))


def _json_pairs(path: Path) -> list[tuple[str, int | None]]:
    if path.stat().st_size > _MAX_JSON:
        raise UserError("too large for a list of classes", file=path)
    try:
        content = json.loads(path.read_bytes())
        return [(str(name), int(index)) for name, index in content.items()]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"not a json of classes: {error}", file=path, expected='{"name": index, ...}') from error


def _line_pairs(path: Path) -> list[tuple[str, int | None]]:
    """``name,index`` where every line is of that form, else the lines."""
    with open_bytes(path) as handle:
        lines = [line for _, line in read_lines(handle, path) if line.strip()]
    found = [re.fullmatch(r"(.+),\s*(\d{1,9})\s*", line) for line in lines]
    if all(found):
        return [(match[1], int(match[2])) for match in found if match]
    return [(line, None) for line in lines]
