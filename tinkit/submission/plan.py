"""From scores to rows: everything that can be wrong with a submission is found here, before a byte is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UsageError, UserError
from tinkit.scores import Kind, ScoreTable
from tinkit.submission.ids import IdList, choose_rule
from tinkit.submission.spec import Challenge, FileName, apply_rule
from tinkit.submission.text import field_text
from tinkit.submission.values import Values, scores_as

Fill = Literal["prior", "uniform"]
CHUNK = 2048  # rows at a time: a few megabytes at several hundred classes
_SHOWN = 10
_ROUNDING = 1e-5  # what a sum of float32 probabilities may exceed 1 by; it is cut off when written


@dataclass(frozen=True)
class Plan:
    """A submission ready to be written: row ``rows[i]`` of ``table`` becomes the line of ``names[i]``.

    ``kind`` is what the scores are turned into on the way; ``fill`` (C,) float64, of that kind, stands for the rows
    without scores, whose ids are ``filled``; ``notes``: what the user should know.
    """

    challenge: Challenge
    table: ScoreTable
    rows: NDArray[np.int64]
    names: list[str]
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
) -> Plan:
    """Check ``table`` against the challenge and the list of test clips and put its rows in the list's order.

    Without ``ids`` the clips are those of ``table``, in its order, and a note says that nobody checked them. Raises
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
            "this submission is no result"
        )
    if ids is None:
        rows = np.arange(len(table.ids), dtype=np.int64)
        _refuse_doubled(table.ids, scores_path)
        clips = list(table.ids)
        notes.append("the ids were not checked against an official list of test clips (no --ids)")
    else:
        rule, rows = _match(ids, table.ids, scores_path)
        # A folder's names are how somebody laid it out; a file's are the organisers' own.
        clips = [table.ids[row] for row in rows.tolist()] if ids.folder else list(ids.ids)
        if rule != "id":
            notes.append(f"ids were matched with {ids.path} by {'base name' if rule == 'basename' else 'stem'}")
    names = _file_names(clips, challenge)
    kind = _written_kind(table, challenge)
    filled = tuple(table.ids[row] for row in rows[~np.asarray(table.valid)[rows]])
    _check_filled(filled, len(rows), fill, max_fill, scores_path)
    values = None if fill is None or not filled else _fill_row(table, rows, kind, fill)
    _check_finite(table, rows, scores_path)
    if filled:
        notes.append(f"{len(filled)} clips have no scores and were filled with {fill}")
    return Plan(challenge, table, rows, names, kind, values, filled, tuple(notes))


def written_values(plan: Plan) -> Iterator[Values]:
    """The values of all rows as they will be written or ranked, (at most CHUNK, C) at a time."""
    valid = np.asarray(plan.table.valid)
    for start in range(0, len(plan.rows), CHUNK):
        rows = plan.rows[start : start + CHUNK]
        has_scores = valid[rows]
        if has_scores.all():
            yield scores_as(plan.table, rows, plan.kind)
            continue
        if plan.fill is None:
            raise ValueError("rows without scores and nothing to fill them with")
        block = np.tile(plan.fill, (len(rows), 1))
        block[has_scores] = scores_as(plan.table, rows[has_scores], plan.kind)
        yield block


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
    if challenge.rows == "ranked" and challenge.labels == "text":
        _check_label_texts(info.classes, challenge, path)


def _written_kind(table: ScoreTable, challenge: Challenge) -> Kind:
    """What the scores become; a ranking needs no change."""
    if challenge.rows == "ranked" or challenge.values == "any":
        return table.info.kind
    return challenge.values


def _check_label_texts(classes: Sequence[str], challenge: Challenge, path: Path | None) -> None:
    seen: dict[str, int] = {}
    for index, label in enumerate(classes):
        try:
            field_text(label, challenge.delimiter, challenge.quoting)
        except ValueError as error:
            raise UserError(f"class {index}: {error}", file=path, fix="mend the category file") from error
        if label in seen:
            raise UserError(f"classes {seen[label]} and {index} are both called {label!r}", file=path)
        seen[label] = index


def _refuse_doubled(ids: Sequence[str], path: Path | None) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in seen:
            raise UserError(f"{name!r} has two rows of scores, {seen[name]} and {row}", file=path)
        seen[name] = row


def _match(ids: IdList, scored: Sequence[str], path: Path | None) -> tuple[FileName, NDArray[np.int64]]:
    """The rule that matches the list with the scores' ids, and for each listed clip its row."""
    _refuse_doubled(scored, path)
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
        problems.append(f"{len(missing)} of {len(ids.ids)} test clips have no row of scores: {_some(missing)}")
    if row_of and len(missing) < len(ids.ids):
        invented = [scored[row] for row in row_of.values()]
        problems.append(f"{len(invented)} clips are not in the list of test clips: {_some(invented)}")
    if problems:
        raise UserError(
            "; ".join(problems),
            file=path,
            expected=f"the clips of {ids.path} ({ids.form})",
            fix="test on exactly these clips, or give the right --ids",
        )
    return rule, rows


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


def _check_filled(filled: Sequence[str], total: int, fill: Fill | None, most: int, path: Path | None) -> None:
    if most and fill is None:
        raise UsageError("--max without --fill", fix="say `--fill prior` or `--fill uniform`")
    if not filled or (fill is not None and len(filled) <= most):
        if filled and len(filled) == total:
            raise UserError("no clip has scores at all", file=path)
        return
    raise UserError(
        f"{len(filled)} clips have no scores (they could not be decoded): {_some(filled)}",
        file=path,
        expected="scores for every test clip" if fill is None else f"at most {most} (--max {most})",
        fix=f"mend the videos and test again, or say `--fill {fill or 'prior'} --max {len(filled)}`",
    )


def _check_finite(table: ScoreTable, rows: NDArray[np.int64], path: Path | None) -> None:
    """Refuse valid rows that are not finite, or that are no probabilities although the file says so."""
    bad: list[str] = []
    valid, bounded = np.asarray(table.valid), table.info.kind == "probabilities"
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        part = part[valid[part]]
        scores = table.scores[part]
        good = np.isfinite(scores)
        if bounded:
            good &= (scores >= 0) & (scores <= 1 + _ROUNDING)
        bad += [table.ids[row] for row in part[~good.all(axis=1)]]
    if bad:
        wanted = "finite numbers from 0 to 1" if bounded else "finite numbers"
        raise UserError(
            f"{len(bad)} clips have scores that are not {wanted}: {_some(bad)}", file=path, fix="test the run again"
        )


def _fill_row(table: ScoreTable, rows: NDArray[np.int64], kind: Kind, fill: Fill) -> NDArray[np.float64]:
    """What a clip without scores gets, (C,) float64 of ``kind``: the mean of the others, or no opinion.

    ``prior`` is the mean of the valid rows' probabilities (of ranks, where the scores are ranks). Where logits are
    written it is turned back: log-odds for several labels, logarithms for one.
    """
    count, multi_label = len(table.info.classes), table.info.task == "multi-label"
    if fill == "uniform":
        mean = np.full(count, 0.5 if multi_label or table.info.kind == "ranks" else 1 / count)
    else:
        meant: Kind = "ranks" if table.info.kind == "ranks" else "probabilities"
        valid = rows[np.asarray(table.valid)[rows]]
        total = np.zeros(count)
        for start in range(0, len(valid), CHUNK):
            total += scores_as(table, valid[start : start + CHUNK], meant).sum(axis=0, dtype=np.float64)
        mean = total / len(valid)
    if kind != "logits":
        return mean
    mean = np.clip(mean, 1e-12, 1 - 1e-12)
    return np.log(mean / (1 - mean)) if multi_label else np.log(mean)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
