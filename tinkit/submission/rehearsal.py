"""A rehearsal: score a submission as its organisers would, from the file's own text and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.metrics import METRICS
from tinkit.submission.check import known_classes
from tinkit.submission.ids import IdList
from tinkit.submission.rows import is_header, parse_index, parse_scores, split_rows
from tinkit.submission.spec import Challenge
from tinkit.submission.text import open_list, read_lines, require_file, split_row


@dataclass(frozen=True)
class Answers:
    """The hidden labels of the test clips: ``labels[i]``, class indices from 0, are those of ``ids.ids[i]``."""

    ids: IdList
    labels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Rehearsal:
    """``metrics`` by name, from 0 to 1, the challenge's own first; ``unlabelled`` clips counted in none of them."""

    metrics: dict[str, float]
    clips: int
    unlabelled: int


def read_answers(path: Path) -> Answers:
    """The answers in ``path``: csv with the header ``id,labels``, class indices from 0 split by spaces.

    Raises :class:`~tinkit.errors.UserError` naming the line of a row that is none, and both lines of a doubled id.
    """
    require_file(path)
    ids: dict[str, int] = {}
    labels: list[tuple[int, ...]] = []
    expected = "csv with the header `id,labels`, class indices split by spaces"
    with open_list(path) as handle:
        for number, line in read_lines(handle, path):
            if number == 1:
                if line != "id,labels":
                    raise UserError(f"the header is {line[:60]!r}", file=path, line=1, expected=expected)
                continue
            if not line:
                continue
            try:
                name, text = split_row(line, ",", "csv")
                indices = tuple(int(index) for index in text.split())
                if min(indices, default=0) < 0:
                    raise ValueError("a negative index")
            except ValueError as error:
                raise UserError(f"no answer: {error}", file=path, line=number, expected=expected) from error
            if name in ids:
                raise UserError(f"{name!r} is there already, in line {ids[name]}", file=path, line=number)
            ids[name] = number
            labels.append(indices)
    if not ids:
        raise UserError("holds no answers", file=path, expected=expected)
    listed = IdList(path, "answers", tuple(ids), tuple(ids.values()), ordered=False)
    return Answers(listed, tuple(labels))


def rehearse(
    path: Path,
    challenge: Challenge,
    answers: Answers,
    *,
    classes: Sequence[str] | None = None,
    num_classes: int | None = None,
) -> Rehearsal:
    """Score the file ``path``, which has passed its check, with the challenge's metrics.

    Scores are held as float64, (clips, classes). In a file of ranked labels, those not listed share the last place.
    Raises :class:`~tinkit.errors.UserError` for answers that the file or its classes do not have.
    """
    count = known_classes(challenge, classes, num_classes)
    place = {challenge.file_name(name): row for row, name in enumerate(answers.ids.ids)}
    rows = _read_rows(path, challenge, classes)
    highest = max((index for labels in answers.labels for index in labels), default=0)
    if challenge.rows == "scores":
        width = len(rows[0][2]) if rows else 0
    else:
        listed = max((int(index) for _, _, values in rows for index in values), default=0)
        width = max(highest, listed) + 1 if count is None else count
    _check_answers(answers, width, challenge)
    scores = np.zeros((len(rows), width))
    labels = np.zeros((len(rows), width), np.uint8)
    for i, (line, name, values) in enumerate(rows):
        if name not in place:
            raise UserError(f"there is no answer for {name!r}", file=path, line=line)
        if challenge.rows == "scores":
            scores[i] = values
        else:
            scores[i, values.astype(np.int64)] = np.arange(len(values), 0, -1)
        labels[i, list(answers.labels[place[name]])] = 1
    metrics: dict[str, float] = {name: METRICS[name].on(labels)(scores) for name in challenge.metrics}
    return Rehearsal(metrics, len(rows), int((labels.sum(axis=1) == 0).sum()))


def _read_rows(
    path: Path, challenge: Challenge, classes: Sequence[str] | None
) -> list[tuple[int, str, NDArray[np.float64]]]:
    """Line, name and values (scores, or class indices by rank) of each row."""
    if challenge.rows == "ranked" and challenge.labels == "text" and classes is None:
        raise UserError(
            "the file holds labels as texts, and it is not known which class is which",
            file=path,
            fix="give the category file or the score file with --categories",
        )
    index_of = {} if classes is None else {name: index for index, name in enumerate(classes)}
    rows: list[tuple[int, str, NDArray[np.float64]]] = []
    for line, fields in split_rows(path, challenge):
        if (
            isinstance(fields, str)
            or fields == [""]
            or (challenge.header and not rows and is_header(fields, challenge))
        ):
            continue
        if challenge.rows == "scores":
            values: Sequence[float | None] = parse_scores(fields[1:])
        elif challenge.labels == "text":
            values = [index_of.get(text) for text in fields[1:]]
        else:
            values = [parse_index(text, challenge.first_index) for text in fields[1:]]
        rows.append((line, fields[0], np.array(values, np.float64)))
    return rows


def _check_answers(answers: Answers, width: int, challenge: Challenge) -> None:
    for line, labels in zip(answers.ids.lines, answers.labels, strict=True):
        if labels and max(labels) >= width:
            raise UserError(
                f"there is no class {max(labels)}", file=answers.ids.path, line=line, expected=f"0 to {width - 1}"
            )
        if challenge.task == "single-label" and len(labels) != 1:
            raise UserError(
                f"{len(labels)} labels", file=answers.ids.path, line=line, expected="one, in a single-label challenge"
            )
