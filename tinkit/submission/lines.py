"""From a row of scores to a line of the leaderboard's file: its numbers, or its labels by falling score, as text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinkit.submission.plan import SubmissionPlan
from tinkit.submission.text import field_text
from tinkit.submission.values import Values, in_chunks, rows_made_equal, scores_as


def write_lines(plan: SubmissionPlan, handle: BinaryIO) -> list[str]:
    """Write the header, if there is one, and a line a clip; returns what must be known of them."""
    challenge, width = plan.challenge, len(plan.table.info.classes)
    ranked = challenge.rows == "ranked"
    if challenge.header:
        columns = challenge.header_row(challenge.top if ranked else width)
        fields = (field_text(name, challenge.delimiter, challenge.quoting) for name in columns)
        handle.write((challenge.delimiter.join(fields) + "\n").encode())
    text_of = _label_text(plan) if ranked else _score_text(plan)
    done, equal, first, alike = 0, 0, None, True
    for rows in in_chunks(plan.rows):
        values = _values(plan, rows)
        ends = text_of(values)
        handle.write("".join(map(operator.add, plan.names[done : done + len(rows)], ends)).encode())
        done += len(rows)
        equal += 0 if ranked else _rows_made_equal(plan, rows, values)
        if alike:
            first = ends[0] if first is None else first
            alike = all(end == first for end in ends)
    notes = [f"all {done} rows are alike: the scores say the same of every clip"] if alike and done > 1 else []
    if equal:
        notes.append(
            f"in {equal} of {done} rows, scores that differ became equal in the written {plan.kind} "
            f"(precision = {challenge.precision}): the order of those classes is lost"
        )
    return notes


def _values(plan: SubmissionPlan, rows: NDArray[np.int64]) -> Values:
    """What is written, or ranked, for ``rows``, (n, C)."""
    scored = plan.table.valid[rows]
    if scored.all():
        return scores_as(plan.table, rows, plan.kind)
    if plan.fill is None:
        raise ValueError("rows without scores and nothing to fill them with")
    values = np.tile(plan.fill, (len(rows), 1))
    values[scored] = scores_as(plan.table, rows[scored], plan.kind)
    return values


def _score_text(plan: SubmissionPlan) -> Callable[[Values], list[str]]:
    """Turns values into the rest of each line: every class's score. One format for a whole row is the fastest."""
    delimiter, precision = plan.challenge.delimiter, plan.challenge.precision
    template = delimiter + delimiter.join([f"%.{precision}g"] * len(plan.table.info.classes)) + "\n"
    return lambda values: [template % tuple(row) for row in values.tolist()]


def _label_text(plan: SubmissionPlan) -> Callable[[Values], list[str]]:
    """Turns values into the rest of each line: labels by falling score, equal ones by index, the lower first."""
    challenge, classes = plan.challenge, plan.table.info.classes
    if challenge.labels == "text":
        labels = [field_text(name, challenge.delimiter, challenge.quoting) for name in classes]
    else:
        labels = [str(index + challenge.first_index) for index in range(len(classes))]

    def text_of(values: Values) -> list[str]:
        best = np.argsort(-values, axis=1, kind="stable")[:, : challenge.top].tolist()
        return [challenge.delimiter.join(("", *(labels[index] for index in row))) + "\n" for row in best]

    return text_of


def _rows_made_equal(plan: SubmissionPlan, rows: NDArray[np.int64], values: Values) -> int:
    scored = plan.table.valid[rows]
    return rows_made_equal(plan.table.scores[rows[scored]], values[scored], plan.challenge.precision)
