"""Cells of the tables that people open in a spreadsheet: a text that it would run is made a plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RUN = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?", re.ASCII)
_BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029\0]+")


def runs_in_spreadsheet(text: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula: by its first character, unless it is a number."""
    return text.lstrip(" ").startswith(_RUN) and not _NUMBER.fullmatch(text)


def plain_row(values: Iterable[object]) -> list[object]:
    """A row of cells, each text among them by :func:`plain_cell`; other values stay."""
    return [plain_cell(value) if isinstance(value, str) else value for value in values]


def plain_cell(text: str) -> str:
    """``text`` as a cell that no spreadsheet runs: behind an apostrophe where it would; line breaks become spaces.

    For tables that people read. A file for a leaderboard holds every text as it is.
    """
    return _BREAKS.sub(" ", f"'{text}" if runs_in_spreadsheet(text) else text)
