"""What is known of foreign scores beside the file: their kind and classes, from options or from what the file says."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from tinkit.errors import UsageError, UserError
from tinkit.foreign_scores.classes import is_numbered, order_of
from tinkit.foreign_scores.found import Found
from tinkit.scores import Kind

logger = logging.getLogger(__name__)


def kind_of(asked: Kind | None, found: Found, path: Path) -> Kind:
    """The kind that was asked for, else the one that the file says. Raises a UsageError where neither is there."""
    if asked is None:
        if found.kind is None:
            raise UsageError(
                f"{path} does not say what its scores are",
                fix="say it: --kind logits, --kind probabilities (a softmax's or sigmoid's) or --kind ranks",
            )
        return found.kind
    if found.kind not in (None, asked):
        logger.warning("%s: calls its scores %s, and --kind says %s", path, found.kind, asked)
    return asked


def with_names(found: Found, names: tuple[str, ...] | None, path: Path) -> Found:
    """``found`` with columns that have no names, or numbers only, named by ``names``, which are in their order."""
    if names is None or (found.columns is not None and set(found.columns) == set(names)):
        return found
    if not is_numbered(found.columns):
        return found
    order, _ = order_of(found, names, path)
    labels = found.labels
    if order is not None and labels is not None:
        place = {int(column): index for index, column in enumerate(order)}
        labels = [None if one is None else tuple(place.get(k, k) for k in one) for one in labels]
    scores = found.scores if order is None else found.scores[:, order]
    return dataclasses.replace(found, scores=scores, columns=names, labels=labels)


def classes_of(found: Found, names: tuple[str, ...] | None, path: Path) -> tuple[str, ...]:
    """The classes of scores whose data set is not known otherwise. Raises a UserError where nothing names them."""
    if names is not None:
        return names
    if found.columns is None or is_numbered(found.columns):
        raise UserError(
            "the columns are not named by class", file=path, fix="name the classes with --classes FILE or --like SCORES"
        )
    return found.columns
