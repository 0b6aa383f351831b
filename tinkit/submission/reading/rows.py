"""The rows of a submission file as fields, and what a field stands for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.submission import text
from tinkit.submission.reading.parts import Block
from tinkit.submission.spec import Challenge

_LABELS = 1000  # lines a clip, at most, where rows are long


@dataclass(frozen=True)
class Entry:
    """What a file says of one clip: ``labels``, as texts, best first, None for all classes; ``scores``, None if ranked.

    Both are of the same length where both are there.
    """

    labels: list[str] | None
    scores: list[float] | None


_FIRST_COLUMNS = frozenset({"id", "filename", "file_name", "video", "video_id"})


def split_block(block: Block, path: Path, challenge: Challenge) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and fields of each line; a text where its quotes do not match."""
    most = text.MAX_ROWS * (_LABELS if challenge.rows == "long" else 1)
    for number, line in text.read_lines(io.BytesIO(block.data), path, block.first - 1, most):
        try:
            yield number, text.split_row(line, challenge.delimiter, challenge.quoting)
        except ValueError as error:
            yield number, str(error)


def fields_of(fields: Sequence[str], challenge: Challenge) -> Entry:
    """What the fields after the name say. Raises :class:`ValueError` for what no row holds."""
    match challenge.rows:
        case "scores":
            return Entry(None, parse_scores(fields))
        case "ranked":
            return Entry(list(fields), None)
        case "long":
            return Entry([fields[0]], parse_scores(fields[1:]))
        case "pairs":
            parts = fields[0].split(challenge.pair_delimiter)
            return Entry(parts[::2], parse_scores(parts[1::2]))


def is_header(fields: Sequence[str], challenge: Challenge) -> bool:
    """Whether a first line names columns, whatever it calls them, rather than a clip."""
    if fields[0] == challenge.id_column or fields[0].lower() in _FIRST_COLUMNS:
        return True
    if fields == [challenge.id_column, *challenge.columns]:
        return True
    match challenge.rows:
        case "scores":
            return len(fields) > 1 and not any(is_number(text) for text in fields[1:])
        case "long":
            return len(fields) == 3 and not is_number(fields[2])
        case "pairs":
            return len(fields) == 2 and challenge.pair_delimiter not in fields[1]
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
