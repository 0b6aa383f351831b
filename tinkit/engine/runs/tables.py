"""A run's tables: ``metrics.csv``, ``offsets.csv`` and ``left_out.csv``; damaged ones are put aside."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from tinkit.errors import UserError
from tinkit.files.atomic import put_aside, write_atomic

_TEXTS = ("id", "reason", "block")
_DAMAGE = (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, KeyError, ValueError, OverflowError)


def rows_before(path: Path, epoch: int) -> tuple[pd.DataFrame, Path | None]:
    """The rows of ``path`` for epochs before ``epoch`` (all columns), or an empty table.

    A last line that a kill has cut short is left out. A file that cannot be read is renamed, so that nothing is lost:
    the second value is its new name, else None.
    """
    if not path.is_file():
        return pd.DataFrame(), None
    try:
        rows = _parsed(path.read_bytes())
    except _DAMAGE:
        return pd.DataFrame(), put_aside(path)
    return rows[rows["epoch"] < epoch], None


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write a table of a run atomically."""
    buffer = io.StringIO()
    rows.to_csv(buffer, index=False)
    write_atomic(path, buffer.getvalue())


def _parsed(data: bytes) -> pd.DataFrame:
    text = data.decode()
    text = text[: text.rfind("\n") + 1]
    if "\0" in text:
        raise ValueError("a NUL")
    names = list(pd.read_csv(io.StringIO(text), nrows=0).columns)
    # Ids are text, whatever they look like: 0001, 1e5 and NA stay as they are. An empty number is a missing one.
    empty = {name: [""] for name in names if name not in _TEXTS}
    texts = dict.fromkeys(_TEXTS, str)
    rows = pd.read_csv(io.StringIO(text), dtype=texts, keep_default_na=False, na_values=empty, index_col=False)
    epochs = rows["epoch"]
    if len(rows) and not pd.api.types.is_integer_dtype(epochs):
        raise ValueError("an epoch that is not a number")
    return rows


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of a run's table, without a last line that is cut short; an empty table where there is no file.

    Raises :class:`~tinkit.errors.UserError` for a file that cannot be read.
    """
    if not path.is_file():
        return pd.DataFrame()
    try:
        return _parsed(path.read_bytes())
    except _DAMAGE as error:
        raise UserError(
            f"not a table of a run: {error}", file=path, fix="resume the run: it writes a new one"
        ) from error
