"""Which row of scores becomes which line; all that can be wrong is found here, before a byte is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.scores import Kind, ScoreTable
from tinkit.scores.table import in_chunks
from tinkit.submission.fill import Fill, check_filled, fill_row
from tinkit.submission.ids import IdList
from tinkit.submission.matching import match_rows, refuse_doubled, some_of
from tinkit.submission.spec import Challenge
from tinkit.submission.text import field_text

_ROUNDING = 1e-5  # what a sum of float32 probabilities may exceed 1 by; it is cut off when written


@dataclass(frozen=True)
class SubmissionPlan:
    """A submission ready to be written: row ``rows[i]`` of ``table`` becomes the line of ``names[i]``.

    ``names`` are as they stand in the file; so are, where classes are ranked, their ``labels``, and the line ``header``
    (empty where there is none). ``kind`` is what the scores are turned into on the way; ``fill`` (C,) float64, of that
    kind, stands for the rows without scores, whose ids are ``filled``; ``notes``: what the user should know.
    """

    challenge: Challenge
    table: ScoreTable
    rows: NDArray[np.int64]
    names: list[str]
    labels: list[str]
    header: str
    kind: Kind
    fill: NDArray[np.float64] | None
    filled: tuple[str, ...]
    notes: tuple[str, ...]


def plan_submission(
    table: ScoreTable,
    challenge: Challenge,
    ids: IdList | None,
    *,
    scores_path: Path | None = None,
    split: str = "test",
    fill: Fill | None = None,
    max_fill: int = 0,
) -> SubmissionPlan:
    """Check ``table`` against the challenge and the list of test clips and put its rows in the list's order.

    Without ``ids`` the clips are those of ``table``, in its order, and a note says that they were not checked. Raises
    :class:`~tinkit.errors.UserError`, naming ids, for: another split, task, kind or number of classes; clips missing,
    doubled or not in the list; scores that are not finite; clips without scores beyond ``max_fill``; names that the
    format cannot hold.
    """
    _check_info(table, challenge, scores_path, split)
    if not len(table):
        raise UserError("holds no clips", file=scores_path)
    table = replace(table, ids=list(table.ids))  # once: a column of a file makes a new text at every look
    notes = [] if split == "test" else [f"these are scores of the split {split!r}, not of the test split"]
    if table.info.trial:
        notes.append(
            "these are scores of a trial (a run or test that --limit, --overfit or --steps cut short): "
            "this submission is not a result"
        )
    if ids is None:
        rows = np.arange(len(table.ids), dtype=np.int64)
        refuse_doubled(table.ids, scores_path)
        clips = list(table.ids)
        notes.append("the ids were not checked against an official list of test clips (no --ids)")
    else:
        rule, rows = match_rows(ids, table.ids, scores_path)
        # A folder's names follow its layout; a file's are the organisers' own.
        clips = [table.ids[row] for row in rows.tolist()] if ids.folder else list(ids.ids)
        if rule != "id":
            notes.append(f"ids were matched with {ids.path} by {'base name' if rule == 'basename' else 'stem'}")
    names = _file_names(clips, challenge)
    kind = _written_kind(table, challenge)
    filled = tuple(table.ids[row] for row in rows[~np.asarray(table.valid)[rows]])
    check_filled(filled, len(rows), fill, max_fill, scores_path)
    values = None if fill is None or not filled else fill_row(table, rows, kind, fill)
    _check_finite(table, rows, scores_path)
    if filled:
        notes.append(f"{len(filled)} clips have no scores and were filled with {fill}")
    labels = _label_texts(table.info.classes, challenge, scores_path) if challenge.rows == "ranked" else []
    header = _header(challenge, challenge.top if labels else len(table.info.classes))
    return SubmissionPlan(challenge, table, rows, names, labels, header, kind, values, filled, tuple(notes))


def _check_info(table: ScoreTable, challenge: Challenge, path: Path | None, split: str) -> None:
    info = table.info
    if info.split != split:
        raise UserError(
            f"these are scores of the split {info.split!r}, the submission is for {split!r}",
            file=path,
            fix=f"test on {split!r} and submit those scores, or say `--split {info.split}` if you mean it",
        )
    if info.task != challenge.task:
        raise UserError(
            f"these are scores of a {info.task} data set, {challenge.title} is {challenge.task}",
            file=path,
            fix="name the right --challenge, or the right scores",
        )
    count = len(info.classes)
    if challenge.num_classes not in (None, count):
        raise UserError(f"scores of {count} classes", file=path, expected=f"the challenge's {challenge.num_classes}")
    if challenge.rows == "ranked" and challenge.top > count:
        raise UserError(f"scores of {count} classes cannot fill {challenge.top} labels a row", file=path)
    if challenge.rows == "scores" and challenge.values != "any" and info.kind == "ranks":
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


def _label_texts(classes: Sequence[str], challenge: Challenge, path: Path | None) -> list[str]:
    """Every class's label, as it stands in the file."""
    if challenge.labels == "index":
        return [str(index + challenge.first_index) for index in range(len(classes))]
    texts, seen = [], dict[str, int]()
    for index, label in enumerate(classes):
        try:
            texts.append(field_text(label, challenge.delimiter, challenge.quoting))
        except ValueError as error:
            raise UserError(f"class {index}: {error}", file=path, fix="correct the category file") from error
        if label in seen:
            raise UserError(f"classes {seen[label]} and {index} are both called {label!r}", file=path)
        seen[label] = index
    return texts


def _header(challenge: Challenge, width: int) -> str:
    """The line that names the columns, of which ``width`` follow the first; empty where the challenge has none."""
    if not challenge.header:
        return ""
    try:
        names = [field_text(name, challenge.delimiter, challenge.quoting) for name in challenge.header_row(width)]
    except ValueError as error:
        raise UserError(f"the header cannot be written: {error}", fix="change `id_column` or `columns`") from error
    return challenge.delimiter.join(names) + "\n"


def _file_names(clips: Sequence[str], challenge: Challenge) -> list[str]:
    """The first field of each row, quoted; names that collide or cannot be written are errors."""
    names: list[str] = []
    clip_of: dict[str, str] = {}
    for clip in clips:
        name = challenge.file_name(clip)
        if name in clip_of:
            raise UserError(
                f"{clip_of[name]!r} and {clip!r} would both be called {name!r}",
                fix=f'a challenge file with `filename = "id"`; it has {challenge.filename!r}',
            )
        clip_of[name] = clip
        try:
            names.append(field_text(name, challenge.delimiter, challenge.quoting))
        except ValueError as error:
            raise UserError(f"the clip {clip!r} cannot be written: {error}") from error
    return names


def _check_finite(table: ScoreTable, rows: NDArray[np.int64], path: Path | None) -> None:
    """Refuse valid rows that are not finite, or that are not probabilities although the file says so."""
    bad: list[str] = []
    valid, bounded = np.asarray(table.valid), table.info.kind == "probabilities"
    for chunk in in_chunks(rows):
        part = chunk[valid[chunk]]
        scores = table.scores[part]
        good = np.isfinite(scores)
        if bounded:
            good &= (scores >= 0) & (scores <= 1 + _ROUNDING)
        bad += [table.ids[row] for row in part[~good.all(axis=1)]]
    if bad:
        wanted = "finite numbers from 0 to 1" if bounded else "finite numbers"
        raise UserError(
            f"{len(bad)} clips have scores that are not {wanted}: {some_of(bad)}", file=path, fix="test the run again"
        )
