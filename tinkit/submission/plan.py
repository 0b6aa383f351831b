"""Which row of scores becomes which line; all that can be wrong is found here, before a byte is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.scores import Kind, ScoreTable
from tinkit.scores.table import in_chunks
from tinkit.submission.fill import Fill, check_filled, fill_row
from tinkit.submission.ids import IdList
from tinkit.submission.matching import match_rows, refuse_doubled, some_of
from tinkit.submission.spec import Challenge
from tinkit.submission.spec_parts import Answer
from tinkit.submission.writing.wording import file_names, header_line, label_texts

_ROUNDING = 1e-5  # what a sum of float32 probabilities may exceed 1 by; it is cut off when written


@dataclass(frozen=True)
class Scored:
    """The scores of one head: the table, and the file that it was read from, if any."""

    table: ScoreTable
    path: Path | None = None


@dataclass(frozen=True)
class Part:
    """What one head contributes: row ``rows[i]`` of ``table`` is what the clip ``i`` of the plan gets.

    ``labels`` are the classes' as the rules word them, before any quoting. ``kind`` is what the scores are turned into
    on the way; ``fill`` (C,) float64, of that kind, stands for the rows without scores, whose ids are ``filled``.
    """

    head: str
    table: ScoreTable
    rows: NDArray[np.int64]
    labels: list[str]
    kind: Kind
    fill: NDArray[np.float64] | None
    filled: tuple[str, ...]


@dataclass(frozen=True)
class SubmissionPlan:
    """A submission ready to be written: ``clips`` in order, their ``names`` in the file, unquoted, and their rows.

    ``answers`` are what the challenge asked of the entry; ``notes``: what the user should know.
    """

    challenge: Challenge
    clips: list[str]
    names: list[str]
    parts: tuple[Part, ...]
    answers: dict[str, Answer]
    notes: tuple[str, ...]

    @property
    def filled(self) -> tuple[str, ...]:
        """The clips that some part has no scores for, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.filled))


def plan_submission(
    scores: ScoreTable | Mapping[str, Scored],
    challenge: Challenge,
    ids: IdList | None,
    *,
    scores_path: Path | None = None,
    split: str = "test",
    fill: Fill | None = None,
    max_fill: int = 0,
    answers: Mapping[str, Answer] = MappingProxyType({}),
) -> SubmissionPlan:
    """Check ``scores`` against the challenge and the list of test clips and put their rows in the list's order.

    ``scores``: a table, or of a challenge of several heads each one's. Without ``ids`` the clips are those of the
    (first) table, in its order, and a note says that they were not checked. Raises
    :class:`~tinkit.errors.UserError`, naming ids, for: another split, task, kind or number of classes; clips missing,
    doubled or not in the list; scores that are not finite; clips without scores beyond ``max_fill``; names that the
    format cannot hold.
    """
    heads = {"": Scored(scores, scores_path)} if isinstance(scores, ScoreTable) else dict(scores)
    # Once: a column of a file makes a new text at every look.
    heads = {head: Scored(replace(one.table, ids=list(one.table.ids)), one.path) for head, one in heads.items()}
    for head, one in heads.items():
        _check_info(one.table, challenge, head, one.path, split)
        if not len(one.table):
            raise UserError("holds no clips", file=one.path)
    first = next(iter(heads.values()))
    notes = _notes_on(first.table, split)
    if ids is None:
        refuse_doubled(first.table.ids, first.path)
        notes.append("the ids were not checked against an official list of test clips (no --ids)")
        listed = IdList(first.path or Path("scores"), "the first score file", tuple(first.table.ids), ())
    else:
        listed = ids
    matched = {head: match_rows(listed, one.table.ids, one.path) for head, one in heads.items()}
    rule, rows = next(iter(matched.values()))
    # A folder's names follow its layout; a file's are the organisers' own.
    clips = [first.table.ids[row] for row in rows.tolist()] if listed.folder else list(listed.ids)
    if rule != "id":
        notes.append(f"ids were matched with {listed.path} by {'base name' if rule == 'basename' else 'stem'}")
    names = file_names(clips, challenge)
    parts = []
    for head, one in heads.items():
        part = _plan_part(head, one, matched[head][1], challenge, (fill, max_fill))
        parts.append(part)
        if part.filled:
            of = f" of {head}" if head else ""
            notes.append(f"{len(part.filled)} clips have no scores{of} and were filled with {fill}")
    return SubmissionPlan(challenge, clips, names, tuple(parts), dict(answers), tuple(notes))


def _notes_on(table: ScoreTable, split: str) -> list[str]:
    notes = [] if split == "test" else [f"these are scores of the split {split!r}, not of the test split"]
    if table.info.trial:
        notes.append(
            "these are scores of a trial (a run or test that --limit, --overfit or --steps cut short): "
            "this submission is not a result"
        )
    return notes


def _plan_part(
    head: str, scored: Scored, rows: NDArray[np.int64], challenge: Challenge, filling: tuple[Fill | None, int]
) -> Part:
    table, path = scored.table, scored.path
    fill, max_fill = filling
    kind = _written_kind(table, challenge)
    filled = tuple(table.ids[row] for row in rows[~np.asarray(table.valid)[rows]])
    check_filled(filled, len(rows), fill, max_fill, path)
    values = None if fill is None or not filled else fill_row(table, rows, kind, fill)
    _check_finite(table, rows, challenge, path)
    header_line(challenge, table.info.classes)  # fails now, if at all
    return Part(head, table, rows, label_texts(table.info.classes, challenge, path), kind, values, filled)


def _check_info(table: ScoreTable, challenge: Challenge, head: str, path: Path | None, split: str) -> None:
    info = table.info
    if info.split != split:
        raise UserError(
            f"these are scores of the split {info.split!r}, the submission is for {split!r}",
            file=path,
            fix=f"test on {split!r} and submit those scores, or say `--split {info.split}` if you mean it",
        )
    if challenge.task not in ("any", info.task):
        raise UserError(
            f"these are scores of a {info.task} data set, {challenge.title} is {challenge.task}",
            file=path,
            fix="name the right --challenge, or the right scores",
        )
    count = len(info.classes)
    if (wanted := challenge.classes_of(head)) not in (None, count):
        of = f" of {head}" if head else ""
        raise UserError(f"scores of {count} classes", file=path, expected=f"the challenge's {wanted}{of}")
    if challenge.rows == "ranked" and challenge.top_needs() > count:
        raise UserError(f"scores of {count} classes cannot fill {challenge.most} labels a row", file=path)
    if challenge.rows != "ranked" and challenge.values != "any" and info.kind == "ranks":
        raise UserError(
            f"the scores are ranks, which cannot be turned into the {challenge.values} that the challenge wants",
            file=path,
            fix='fuse by another method than mean-ranks, or use a challenge file with `values = "any"`',
        )


def _written_kind(table: ScoreTable, challenge: Challenge) -> Kind:
    """What the scores become; a ranking needs no change."""
    if challenge.rows == "ranked" or challenge.values == "any":
        return table.info.kind
    return challenge.values


def _check_finite(table: ScoreTable, rows: NDArray[np.int64], challenge: Challenge, path: Path | None) -> None:
    """Refuse valid rows that are not finite, or that are not probabilities although the file says so."""
    bad: list[str] = []
    valid, bounded = np.asarray(table.valid), table.info.kind == "probabilities"
    for chunk in in_chunks(rows):
        part = chunk[valid[chunk]]
        scores = table.scores[part]
        good = scores < np.inf if challenge.infinite else np.isfinite(scores)
        if bounded:
            good &= (scores >= 0) & (scores <= 1 + _ROUNDING)
        bad += [table.ids[row] for row in part[~good.all(axis=1)]]
    if bad:
        wanted = "finite numbers from 0 to 1" if bounded else "finite numbers"
        raise UserError(
            f"{len(bad)} clips have scores that are not {wanted}: {some_of(bad)}", file=path, fix="test the run again"
        )
