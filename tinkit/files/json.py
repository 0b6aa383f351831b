"""JSON of unknown origin: read within bounds, with the place of every error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.reading import read_bounded

MOST_BYTES = 1 << 30
# An escape of one character, of the two halves of one, or (group 1) of a half that stands alone.
_ESCAPES = re.compile(r"\\[^u]|\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(\\u[dD][89a-fA-F])")


def read_json(path: Path, what: str, *, limit: int = MOST_BYTES, pairs: bool = False) -> Any:
    """The value in a JSON file, which ``what`` names in errors: ``a fusion's record``.

    UTF-8, with or without a byte order mark; of at most ``limit`` bytes. Arguments and errors otherwise as of
    :func:`parse_json`; raises :class:`~tinkit.errors.UserError` too where there is no such file, but a folder or a
    device, say.
    """
    return parse_json(read_bounded(path, limit, f"{what}, a JSON file"), what, path, pairs=pairs)


def unlike(path: Path, what: str, wanted: Mapping[str, Any]) -> str | None:
    """How the object in the JSON file ``path`` differs from ``wanted``, in words; None where it is the same.

    It says ``key found, not wanted`` for each key, as if the file were empty where it cannot be read.
    """
    try:
        found = read_json(path, what, limit=1 << 20)
    except UserError:
        found = {}
    if found == wanted:
        return None
    found = found if isinstance(found, dict) else {}
    return "; ".join(
        f"{key} {found.get(key)!r}, not {value!r}" for key, value in wanted.items() if found.get(key) != value
    )


def parse_json(
    data: bytes | str, what: str, file: Path | None = None, *, pairs: bool = False, file_names: bool = False
) -> Any:
    """The value of a JSON text; with ``pairs`` its objects are lists of (key, value), so that doubled keys show.

    ``file_names``: halves of surrogate pairs are taken, as they stand in our own files for the bytes of a file's name
    that are not UTF-8.

    Raises :class:`~tinkit.errors.UserError` that names ``file`` and the line: for what is not UTF-8 or not JSON, nested
    hundreds deep, holds a number of thousands of digits, or half of a surrogate pair, which no file can hold.
    """
    expected = f"{what}, in JSON"
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        value = json.loads(text, object_pairs_hook=list) if pairs else json.loads(text)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError("is not UTF-8 text", file=file, line=line, expected=expected) from error
    except json.JSONDecodeError as error:
        raise UserError(f"not valid JSON: {error.msg}", file=file, line=error.lineno, expected=expected) from error
    except RecursionError as error:
        raise UserError("not valid JSON: nested too deep", file=file, expected=expected) from error
    except ValueError as error:  # Python refuses numbers of more than 4,300 digits
        raise UserError("not valid JSON: a number of thousands of digits", file=file, expected=expected) from error
    if not file_names and (half := next((found for found in _ESCAPES.finditer(text) if found[1]), None)) is not None:
        raise UserError(
            "not text: half of a character (a lone surrogate)",
            file=file,
            line=text.count("\n", 0, half.start()) + 1,
            expected=expected,
        )
    return value
