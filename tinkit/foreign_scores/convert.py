"""From what a foreign file holds to a score file's rows: ids matched, columns in the order of the classes, doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.foreign_scores.classes import order_of
from tinkit.foreign_scores.doubts import doubts
from tinkit.foreign_scores.found import Found
from tinkit.scores import Labels, ScoreInfo, ScoreTable
from tinkit.submission.matching import choose_rule, some_of
from tinkit.submission.names import apply_rule

NonFinite = Literal["error", "null"]
_RULES = {"id": "verbatim", "basename": "by their base names", "stem": "by their stems"}
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Imported:
    """The rows of a score file, and what must be said of them: what was done, and what is doubtful.

    ``known`` is how many of the clips the known file has, and ``matched`` how their ids were matched; None without one.
    """

    table: ScoreTable
    known: int | None
    matched: str | None
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def converted(
    found: Found,
    info: ScoreInfo,
    path: Path,
    *,
    known: ScoreTable | None = None,
    ids: Sequence[str] | None = None,
    views: int = 1,
    non_finite: NonFinite = "error",
) -> Imported:
    """The rows of ``found`` with the classes of ``info``.

    ``known``: a score file of the same split, whose ids the file's are matched with, and whose labels and sources are
    taken; a clip without a known source is its own. ``ids``: those of the rows, in order, for a file without. The
    scores are sums over ``views``, and divided by that.

    Raises :class:`~tinkit.errors.UserError` for a file without ids, for columns that are not the classes, where no id
    is known, where labels in the file say that its rows are in another order, and for rows with numbers that are not
    finite, unless ``non_finite`` is ``"null"``: then such clips have no scores.
    """
    order, notes = order_of(found, info.classes, path)
    own = _own_ids(found, ids, path)
    scores = found.scores if order is None else found.scores[:, order]
    if views != 1:
        scores = scores / np.float32(views)
    scores, valid, said = _finite(scores, own, path, non_finite)
    notes = [*notes, *said]
    if found.left_out:
        notes.append(f"columns left out: {some_of(found.left_out)}")
    labels, source = _labels_of(found, order), list(own)
    count, rule = None, None
    if known is not None:
        own, count, rule, said = _matched(own, known, path)
        notes += said
        row_of = {name: row for row, name in enumerate(known.ids)}
        rows = [row_of.get(name) for name in own]
        theirs: list[Labels] = [None if row is None else known.labels[row] for row in rows]
        notes += _compared(labels, theirs, own, path, ordered=found.ids is None)
        labels = [mine if mine is not None else other for mine, other in zip(theirs, labels, strict=True)]
        source = [name if row is None else known.source[row] for name, row in zip(own, rows, strict=True)]
    table = ScoreTable(info=info, ids=own, scores=scores, valid=valid, labels=labels, source=source)
    return Imported(table, count, rule, tuple(notes), tuple(doubts(table)))


def _own_ids(found: Found, given: Sequence[str] | None, path: Path) -> list[str]:
    if given is None:
        if found.ids is None:
            raise UserError(
                f"has no ids ({found.form})",
                file=path,
                fix="give the list of clips that it was made with, in the same order: --ids LIST",
            )
        _refuse_doubled(found.ids, path)
        return found.ids
    if found.ids is not None:
        raise UserError(
            f"has ids of its own ({found.form}), such as {found.ids[0]!r}",
            file=path,
            fix="leave out --ids; the ids are matched with those of --like",
        )
    if len(given) != len(found.scores):
        raise UserError(
            f"has {len(found.scores)} rows, and the list of ids {len(given)}",
            file=path,
            expected="the list of clips that it was made with, in the same order",
        )
    return list(given)


def _refuse_doubled(ids: Sequence[str], path: Path) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(ids, 1):
        if name in seen:
            raise UserError(f"id {name!r} occurs twice: rows {seen[name]} and {row}", file=path)
        seen[name] = row


def _finite(
    scores: NDArray[np.float32], ids: Sequence[str], path: Path, non_finite: NonFinite
) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[str]]:
    """The scores with NaN for clips without any, which those are not, and what was done."""
    finite = np.isfinite(scores)
    good = np.asarray(finite.all(axis=1))
    missing = np.isnan(scores).all(axis=1)
    bad = np.flatnonzero(~good & ~missing)
    if not bad.size:
        return scores, good, []
    shown = some_of([repr(ids[row]) for row in bad[:_SHOWN]])
    if non_finite == "error":
        row = int(bad[0])
        lacks = np.isnan(scores[row]).any()
        raise UserError(
            f"row {row + 1} ({ids[row]!r}) {'lacks some of its scores' if lacks else 'has infinite scores'}"
            + (f", and {bad.size - 1} more rows are like it" if bad.size > 1 else ""),
            file=path,
            expected="finite scores for all classes, or for none (a clip that could not be decoded)",
            fix="mend the file, or say --non-finite null: such clips then have no scores",
        )
    scores = scores.copy()
    scores[bad] = np.nan
    return scores, good, [f"{bad.size} rows with missing or infinite scores are clips without scores: {shown}"]


def _labels_of(found: Found, order: NDArray[np.int64] | None) -> list[Labels]:
    """The labels that the file has, as indices of the classes."""
    if found.labels is None:
        return [None] * len(found.scores)
    if order is None:
        return found.labels
    place = {int(column): index for index, column in enumerate(order)}
    return [
        None if one is None or not set(one) <= place.keys() else tuple(sorted(place[k] for k in one))
        for one in found.labels
    ]


def _matched(own: list[str], known: ScoreTable, path: Path) -> tuple[list[str], int, str, list[str]]:
    """The ids as the known file has them, how many it has, how they were matched, and what is to be said."""
    rule = choose_rule(list(known.ids), own)
    name_of = {apply_rule(rule, name): name for name in known.ids}
    taken: dict[str, str] = {}
    named = []
    for name in own:
        match = name_of.get(apply_rule(rule, name))
        if match is not None and match in taken:
            raise UserError(f"{taken[match]!r} and {name!r} are both the clip {match!r}", file=path)
        if match is not None:
            taken[match] = name
        named.append(match or name)
    if not taken:
        raise UserError(
            f"none of its {len(own)} clips is known: it has {own[0]!r}, the known file has {known.ids[0]!r}",
            file=path,
            expected=f"clips of {known.info.dataset} {known.info.split}: equal ids, base names or stems",
            fix="give a score file of the same split, or the right ids: --ids LIST",
        )
    notes = []
    strange = [name for name in own if apply_rule(rule, name) not in name_of]
    if strange:
        notes.append(f"{len(strange)} clips are not known: {some_of([repr(name) for name in strange[:_SHOWN]])}")
    if len(taken) < len(known):
        lacking = [name for name in known.ids if name not in taken]
        notes.append(f"{len(lacking)} known clips have no row: {some_of([repr(name) for name in lacking[:_SHOWN]])}")
    return named, len(taken), _RULES[rule], notes


def _compared(
    mine: Sequence[Labels], theirs: Sequence[Labels], ids: Sequence[str], path: Path, *, ordered: bool
) -> list[str]:
    """What comparing the file's labels with those that are known says. ``ordered``: its ids were given by order."""
    both = [row for row, pair in enumerate(zip(mine, theirs, strict=True)) if None not in pair]
    unlike = [row for row in both if set(mine[row] or ()) != set(theirs[row] or ())]
    if not both:
        return []
    if not unlike:
        return [f"the labels of {len(both)} clips in the file are those that are known"]
    row = unlike[0]
    said = (
        f"{len(unlike)} of {len(both)} labels in the file are not those that are known: "
        f"{ids[row]!r} has {list(mine[row] or ())}, known is {list(theirs[row] or ())}"
    )
    if ordered:
        raise UserError(
            said,
            file=path,
            expected="rows in the order of --ids",
            fix="give the list that the file was made with, in its order; or number the classes as it does: --classes",
        )
    return [f"{said}; the known ones are kept"]
