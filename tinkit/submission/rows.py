"""The rows of a submission file as fields, and what a field stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tinkit.submission.spec import Challenge
from tinkit.submission.text import open_bytes, read_lines, split_row

_FIRST_COLUMNS = frozenset({"id", "filename", "file_name", "video", "video_id"})


def split_rows(path: Path, challenge: Challenge) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and fields of each line; a text where its quotes do not match."""
    with open_bytes(path) as handle:
        for number, line in read_lines(handle, path):
            try:
                yield number, split_row(line, challenge.delimiter, challenge.quoting)
            except ValueError as error:
                yield number, str(error)


def is_header(fields: Sequence[str], challenge: Challenge) -> bool:
    """Whether a first line names columns, whatever it calls them, rather than a clip."""
    if fields[0] == challenge.id_column or fields[0].lower() in _FIRST_COLUMNS:
        return True
    if challenge.rows == "scores":
        return len(fields) > 1 and not any(is_number(text) for text in fields[1:])
    return False


def parse_scores(fields: Sequence[str]) -> list[float]:
    """The numbers in ``fields``. Raises :class:`ValueError` for what only Python takes for a number (``1_0``)."""
    joined = "".join(fields)
    if "_" in joined or not joined.isascii():
        raise ValueError("not a number")
    return [float(text) for text in fields]


def parse_index(text: str, first: int) -> int | None:
    """The class index from 0 that ``text`` stands for in a file that counts from ``first``; None where it is none.

    One spelling an index, without sign and leading zeros, so that equal labels are equal texts.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or (text[0] == "0" and text != "0"):
        return None
    index = int(text) - first
    return index if index >= 0 else None


def is_number(text: str) -> bool:
    """Whether ``text`` is one number."""
    try:
        parse_scores([text])
    except ValueError:
        return False
    return True
