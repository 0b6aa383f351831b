"""How the ids of scores, or of a file's rows, are matched with the list of test clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.submission.ids import IdList
from tinkit.submission.names import NameRule, apply_rule

RULES: tuple[NameRule, ...] = ("id", "basename", "stem")
_SHOWN = 10


def choose_rule(listed: Sequence[str], others: Sequence[str]) -> NameRule:
    """The rule under which most of ``others`` are in ``listed``; verbatim unless a looser one finds more.

    Base names and stems count only where they name one clip of ``listed``.
    """
    best, most = RULES[0], -1
    for rule in RULES:
        keys = {apply_rule(rule, name) for name in listed}
        if len(keys) < len(listed):
            continue
        found = len(keys.intersection(apply_rule(rule, name) for name in others))
        if found > most:
            best, most = rule, found
        if found == len(listed):
            break
    return best


def match_rows(ids: IdList, scored: Sequence[str], path: Path | None) -> tuple[NameRule, NDArray[np.int64]]:
    """The rule that matches the list with the scores' ids, and for each listed clip its row, (clips,) int64.

    Raises :class:`~tinkit.errors.UserError`, naming ids, for clips that are missing, doubled or not in the list.
    ``path`` is the score file's.
    """
    refuse_doubled(scored, path)
    rule = choose_rule(ids.ids, scored)
    row_of: dict[str, int] = {}
    for row, name in enumerate(scored):
        key = apply_rule(rule, name)
        if key in row_of:
            raise UserError(
                f"{scored[row_of[key]]!r} and {name!r} are both {key!r} in {ids.path}",
                file=path,
                fix="give a list of test clips that holds whole ids",
            )
        row_of[key] = row
    missing: list[str] = []
    rows = np.full(len(ids.ids), -1, np.int64)
    for i, name in enumerate(ids.ids):
        key = apply_rule(rule, name)
        if key in row_of:
            rows[i] = row_of.pop(key)
        else:
            missing.append(name)
    problems = []
    if len(missing) == len(ids.ids) and scored:
        problems.append(
            f"none of the {len(missing)} test clips has a row of scores: the list has {missing[0]!r}, "
            f"the scores have {scored[0]!r}"
        )
    elif missing:
        problems.append(f"{len(missing)} of {len(ids.ids)} test clips have no row of scores: {some_of(missing)}")
    if row_of and len(missing) < len(ids.ids):
        invented = [scored[row] for row in row_of.values()]
        problems.append(f"{len(invented)} clips are not in the list of test clips: {some_of(invented)}")
    if problems:
        raise UserError(
            "; ".join(problems),
            file=path,
            expected=f"the clips of {ids.path} ({ids.form})",
            fix="test on exactly these clips, or give the right --ids",
        )
    return rule, rows


def refuse_doubled(ids: Sequence[str], path: Path | None) -> None:
    """Raise :class:`~tinkit.errors.UserError` where two rows of scores have the same id."""
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in seen:
            raise UserError(f"{name!r} has two rows of scores, {seen[name]} and {row}", file=path)
        seen[name] = row


def some_of(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
