"""A rehearsal: score a submission as its organisers would, from the file's own text and the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.leaderboard import joint_top
from tinkit.metrics import METRICS
from tinkit.submission.answers import Answers, Group, in_group
from tinkit.submission.check import known_classes
from tinkit.submission.reading.judge_json import entry_of
from tinkit.submission.reading.parts import open_part, read_blocks
from tinkit.submission.reading.quick import quick_rows
from tinkit.submission.reading.rows import Entry, fields_of, is_header, parse_index, split_block
from tinkit.submission.reading.stream import Clip, read_document
from tinkit.submission.spec import Challenge

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Rehearsal:
    """``metrics`` by name, from 0 to 1, the challenge's own first; ``unlabelled`` clips counted in none of them."""

    metrics: dict[str, float]
    clips: int
    unlabelled: int


@dataclass(frozen=True)
class _Told:
    """What a block of a file says of some clips: of each every class's score, or the classes it lists with scores."""

    lines: Sequence[int]
    names: Sequence[str]
    values: NDArray[np.float64] | None
    listed: Sequence[tuple[list[int], list[float]]]


@dataclass(frozen=True)
class _Head:
    """One head's scores (N, C) float64, -inf for a class that is not listed, and labels (N, C) of bool."""

    scores: NDArray[np.float64]
    labels: Marks


def rehearse(
    path: Path,
    challenge: Challenge,
    answers: Answers,
    *,
    classes: Sequence[str] | None = None,
    num_classes: int | None = None,
    groups: Sequence[Group] = (),
) -> Rehearsal:
    """Score the file ``path``, which has passed its check, with the challenge's metrics.

    Scores are held as float64, (clips, classes). Labels that a file does not list share the last place, or are never
    found, as the metric says; so are the clips that it has no row of. ``groups`` of clips are measured on their own,
    too. Raises :class:`~tinkit.errors.UserError` for answers that the file or its classes do not have.
    """
    if challenge.rows != "scores" and challenge.labels == "text" and classes is None:
        raise UserError(
            "the file holds labels as texts, and it is not known which class is which",
            file=path,
            fix="give the category file or the score file with --categories",
        )
    heads: dict[str, _Head] = {}
    for head in challenge.head_names:
        count = challenge.classes_of(head) if challenge.heads else known_classes(challenge, classes, num_classes)
        heads[head] = _head(path, challenge, answers, head, (classes, count))
    everything = np.ones(len(answers.ids.ids), bool)
    metrics = _measured(challenge, heads, dict.fromkeys([*heads, challenge.joint], everything))
    for group in groups:
        rows = in_group(group, answers, challenge)
        found = _measured(challenge, heads, rows)
        metrics |= {f"{group.name}: {name}": value for name, value in found.items()}
    first = next(iter(heads.values()))
    return Rehearsal(metrics, len(first.labels), int((~first.labels.any(axis=1)).sum()))


def _measured(challenge: Challenge, heads: Mapping[str, _Head], rows: Mapping[str, Marks]) -> dict[str, float]:
    """The metrics of every head, and of the pairs of two, on the ``rows`` of each."""
    task = _task_of(challenge, heads)
    names = [name for name in challenge.metrics if METRICS[name].task in (task, "any")]
    found: dict[str, float] = {}
    if challenge.joint:
        first, second = heads.values()
        kept = rows[challenge.joint]
        scores, labels = (first.scores[kept], second.scores[kept]), (first.labels[kept], second.labels[kept])
        classes = (labels[0].argmax(axis=1), labels[1].argmax(axis=1))
        for name in names:
            found[f"{challenge.joint}_{name}"] = joint_top(scores, classes, METRICS[name].places)
    for head, one in heads.items():
        kept = rows[head]
        for name in names:
            value = METRICS[name].on(one.labels[kept])(one.scores[kept]) if kept.any() else float("nan")
            found[f"{head}_{name}" if head else name] = value
    return found


def _task_of(challenge: Challenge, heads: Mapping[str, _Head]) -> str:
    if challenge.task != "any":
        return challenge.task
    return "multi-label" if any((one.labels.sum(axis=1) > 1).any() for one in heads.values()) else "single-label"


def _head(
    path: Path, challenge: Challenge, answers: Answers, head: str, known: tuple[Sequence[str] | None, int | None]
) -> _Head:
    classes, count = known
    labels_of = answers.heads[head] if head else answers.labels
    place = {challenge.file_name(name): row for row, name in enumerate(answers.ids.ids)}
    index_of = _index_of(challenge, classes)
    told = list(_told(path, challenge, head, index_of, count))
    width = count if count is not None else _width(told, labels_of, challenge)
    _check_answers(answers, labels_of, width, challenge)
    scores = np.full((len(labels_of), width), -np.inf)
    for block in told:
        rows = []
        for line, name in zip(block.lines, block.names, strict=True):
            if name not in place:
                raise UserError(f"there is no answer for {name!r}", file=path, line=line)
            rows.append(place[name])
        if block.values is not None:
            scores[rows] = block.values
        for row, (listed, values) in zip(rows, block.listed, strict=block.values is None):
            scores[row, listed] = values
    marks = np.zeros((len(labels_of), width), bool)
    for row, own in enumerate(labels_of):
        marks[row, list(own)] = True
    return _Head(scores, marks)


def _index_of(challenge: Challenge, classes: Sequence[str] | None) -> Any:
    """The function from a label's text to its class."""
    if challenge.labels == "index":
        return lambda text: parse_index(text, challenge.first_index)
    return {name: index for index, name in enumerate(classes or ())}.get


def _width(told: Sequence[_Told], labels: Sequence[tuple[int, ...]], challenge: Challenge) -> int:
    """The number of classes, where nobody said it: the file's, or as many as anything mentions."""
    if challenge.rows == "scores":
        return max((block.values.shape[1] for block in told if block.values is not None), default=0) or 1 + max(
            (max(listed) for block in told for listed, _ in block.listed), default=0
        )
    highest = max((index for own in labels for index in own), default=0)
    return 1 + max((max(listed, default=0) for block in told for listed, _ in block.listed), default=highest)


def _told(path: Path, challenge: Challenge, head: str, index_of: Any, count: int | None) -> Iterator[_Told]:
    """What the file says, in its order."""
    if challenge.syntax == "json":
        with open_part(path, challenge) as handle:
            for found in read_document(handle, path, challenge.shape, whole=challenge.rows == "long"):
                if isinstance(found, Clip):
                    content = found.content[head] if challenge.heads else found.content
                    yield _one(found.line, found.name, entry_of(content, challenge), index_of)
        return
    first, width = True, None
    with open_part(path, challenge, head) as handle:
        for block in read_blocks(handle):
            quick = None if width is None else quick_rows(block, challenge, width, index_of)
            if quick is not None:
                lines = range(quick.first, quick.first + len(quick.names))
                listed = [] if quick.labels is None else [(own, _ranks(own)) for own in quick.labels.tolist()]
                yield _Told(lines, quick.names, quick.values, listed)
                continue
            for line, fields in split_block(block, path, challenge):
                if isinstance(fields, str) or fields == [""]:
                    continue
                header = first and challenge.header and is_header(fields, challenge)
                first = False
                if not header:
                    width = len(fields) - 1
                    yield _one(line, fields[0], fields_of(fields[1:], challenge), index_of)


def _one(line: int, name: str, entry: Entry, index_of: Any) -> _Told:
    if entry.labels is None:
        return _Told([line], [name], np.array([entry.scores], np.float64), [])
    listed = [index_of(text) for text in entry.labels]
    return _Told([line], [name], None, [(listed, _ranks(listed) if entry.scores is None else entry.scores)])


def _ranks(listed: Sequence[int]) -> list[float]:
    """Scores for labels by rank."""
    return [float(rank) for rank in range(len(listed), 0, -1)]


def _check_answers(answers: Answers, labels: Sequence[tuple[int, ...]], width: int, challenge: Challenge) -> None:
    for line, own in zip(answers.ids.lines, labels, strict=True):
        if own and max(own) >= width:
            raise UserError(
                f"there is no class {max(own)}", file=answers.ids.path, line=line, expected=f"0 to {width - 1}"
            )
        if challenge.task == "single-label" and len(own) != 1:
            raise UserError(
                f"{len(own)} labels", file=answers.ids.path, line=line, expected="one, in a single-label challenge"
            )
