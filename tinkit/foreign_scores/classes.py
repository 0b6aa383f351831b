"""Which column of foreign scores is which class: by name, by number from 0 or 1, or by place."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError, did_you_mean
from tinkit.foreign_scores.found import Found
from tinkit.foreign_scores.words import numbers_of

_NUMBERED = re.compile(r"((scores?|class|probs?|probability|logits?|preds?|outputs?|col|column)_?)?\d+", re.IGNORECASE)


def is_numbered(columns: tuple[str, ...] | None) -> bool:
    """Whether columns tell no names: there are none, or they are only numbered, as ``0`` or ``score_0``."""
    return columns is None or (numbers_of(columns) is not None and all(_NUMBERED.fullmatch(name) for name in columns))


def order_of(found: Found, classes: tuple[str, ...], path: Path) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Which column holds each class, None for the order that they have; and how that was told.

    Raises :class:`~tinkit.errors.UserError` where the columns are not the classes.
    """
    columns, count = found.columns, found.scores.shape[1]
    if count != len(classes):
        raise UserError(f"{count} columns of scores", file=path, expected=f"{len(classes)}, one a class")
    if columns is None:
        return None, ["columns taken in the order of the classes"]
    if len(set(columns)) < len(columns):
        raise UserError("two columns have the same name", file=path)
    if set(columns) == set(classes):
        return _places(columns, classes), [f"columns named by class{_reordered(columns, classes)}"]
    plain_columns, plain_classes = tuple(map(_plain, columns)), tuple(map(_plain, classes))
    if len(set(plain_classes)) == count and set(plain_columns) == set(plain_classes):
        how = "columns named by class, but for capitals and punctuation"
        return _places(plain_columns, plain_classes), [how + _reordered(plain_columns, plain_classes)]
    if (numbers := numbers_of(columns)) is not None:
        first = min(numbers)
        if first not in (0, 1) or sorted(numbers) != list(range(first, first + count)):
            raise UserError("the columns are not numbered 0, 1, ... or 1, 2, ... once each", file=path)
        return np.argsort(numbers), [f"columns numbered from {first}"]
    known = set(classes)
    strange = [name for name in columns if name not in known]
    more = f" ({len(strange)} columns are not)" if len(strange) > 1 else ""
    raise UserError(f"column {strange[0]!r} is not a class{more}{did_you_mean(strange[0], classes)}", file=path)


def _places(columns: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.int64]:
    place = {name: index for index, name in enumerate(columns)}
    return np.array([place[name] for name in classes])


def _reordered(columns: tuple[str, ...], classes: tuple[str, ...]) -> str:
    return "" if columns == classes else ", and put in their order"


def _plain(name: str) -> str:
    """A name as folders and spreadsheets vary it: ``Playing+Chess``, ``playing_chess``."""
    return " ".join(re.sub(r"[_+\-\s\[\]()\"'/]+", " ", unicodedata.normalize("NFC", name)).casefold().split())
