"""Where each key of a TOML text stands: for errors that name the line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# The tokens of a text that tomllib has read without complaint. Possessive throughout, so that a scan is linear.
_TOKEN = re.compile(
    r'''
    (?P<text> """(?:[^"\\]++|\\[\s\S]|""?(?!"))*+"{3,5} | \'\'\'(?:[^']++|''?(?!'))*+'{3,5}
            | "(?:[^"\\\n]++|\\.)*+" | '[^'\n]*+' )
    | (?P<comment> \#[^\n]*+ )
    | (?P<line> \n )
    | (?P<blank> [^\S\n]++ )
    | (?P<sign> [\[\]{},=.] )
    | (?P<word> [^\s"'\#\[\]{},=.]++ )
    | (?P<other> . )
    ''',
    re.VERBOSE,
)
_PIECE = re.compile(r"""[\w\-"'][ \t]*+\.""")
_NO_KEY = re.compile(r"""[^\w\-"'. \t]++""")


def longest_key(text: str) -> int:
    """No dotted key of ``text`` has more parts than this; prose in quotes may make it larger. Linear in the text.

    (What tomllib needs for a key grows with the square of its parts.)
    """
    return max((1 + sum(1 for _ in _PIECE.finditer(run)) for run in _NO_KEY.split(text) if "." in run), default=1)


def key_lines(text: str) -> dict[str, int]:
    """Dotted key to its line, from 1, of a valid ``text``: tables by their first line, entries of lists as ``list.0``.

    Keys of inline tables are left out.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, brackets, name in _statements(text):
        if not brackets:
            lines.setdefault(f"{prefix}.{name}" if prefix else name, number)
            continue
        prefix = name
        if brackets == 2:
            index = counts.get(name, 0)
            counts[name] = index + 1
            lines.setdefault(name, number)
            prefix = f"{name}.{index}"
        lines.setdefault(prefix, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, int, str]]:
    """(line, brackets around it: 0 for ``key = value``, 1 or 2 for a table's head, dotted key), in order."""
    number, depth, brackets = 1, 0, 0
    parts: list[str] | None = []  # None behind a key or a head, up to the end of its value
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        if kind == "line" and depth == 0:
            parts, brackets = [], 0
        elif parts is None:
            depth += (found in ("[", "{")) - (found in ("]", "}"))
        elif kind in ("text", "word"):
            parts.append(_plain(found))
        elif found == "[":
            brackets += 1
        elif found in ("=", "]"):
            yield number, brackets, ".".join(parts)
            depth, parts = max(brackets - 1, 0), None  # the second bracket of [[a]] is still to come
        number += found.count("\n")


def _plain(part: str) -> str:
    """A part of a key without its quotes."""
    if part[0] == '"' and "\\" in part:
        try:
            return str(json.loads(part))
        except ValueError:  # an escape that TOML has and JSON has not
            return part[1:-1]
    return part[1:-1] if part[0] in "\"'" else part
