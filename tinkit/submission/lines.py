"""From a row of scores to a line of the leaderboard's file: its numbers, or its labels by falling score, as text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinkit.scores.kinds import Values, rows_as
from tinkit.scores.table import in_chunks
from tinkit.submission.plan import SubmissionPlan


def write_lines(plan: SubmissionPlan, handle: BinaryIO) -> list[str]:
    """Write the header, if there is one, and a line a clip; returns what must be known of them."""
    ranked = plan.challenge.rows == "ranked"
    handle.write(plan.header.encode())
    text_of = _label_text(plan) if ranked else _score_text(plan)
    done, equal, first, alike = 0, 0, None, True
    for rows in in_chunks(plan.rows):
        values = _values(plan, rows)
        ends = text_of(values)
        handle.write("".join(map(operator.add, plan.names[done : done + len(rows)], ends)).encode())
        done += len(rows)
        if not ranked:
            scored = plan.table.valid[rows]
            equal += rows_made_equal(plan.table.scores[rows[scored]], values[scored], plan.challenge.precision)
        if alike:
            first = ends[0] if first is None else first
            alike = all(end == first for end in ends)
    notes = [f"all {done} rows are alike: the scores say the same of every clip"] if alike and done > 1 else []
    if equal:
        notes.append(
            f"in {equal} of {done} rows, scores that differ became equal in the written {plan.kind} "
            f"(precision = {plan.challenge.precision}): the order of those classes is lost"
        )
    return notes


def _values(plan: SubmissionPlan, rows: NDArray[np.int64]) -> Values:
    """What is written, or ranked, for ``rows``, (n, C)."""
    scored = plan.table.valid[rows]
    if scored.all():
        return rows_as(plan.table, rows, plan.kind)
    if plan.fill is None:
        raise ValueError("rows without scores and nothing to fill them with")
    values = np.tile(plan.fill, (len(rows), 1))
    values[scored] = rows_as(plan.table, rows[scored], plan.kind)
    return values


def _score_text(plan: SubmissionPlan) -> Callable[[Values], list[str]]:
    """Turns values into the rest of each line: every class's score. One format for a whole row is the fastest."""
    delimiter, precision = plan.challenge.delimiter, plan.challenge.precision
    template = delimiter + delimiter.join([f"%.{precision}g"] * len(plan.table.info.classes)) + "\n"
    return lambda values: [template % tuple(row) for row in values.tolist()]


def _label_text(plan: SubmissionPlan) -> Callable[[Values], list[str]]:
    """Turns values into the rest of each line: labels by falling score, equal ones by index, the lower first."""
    delimiter, top, labels = plan.challenge.delimiter, plan.challenge.top, plan.labels

    def text_of(values: Values) -> list[str]:
        best = np.argsort(-values, axis=1, kind="stable")[:, :top].tolist()
        return [delimiter.join(("", *(labels[index] for index in row))) + "\n" for row in best]

    return text_of


def rows_made_equal(scores: NDArray[np.float32], written: Values, precision: int) -> int:
    """In how many rows two different ``scores`` (n, C) have the same number in the file.

    ``written`` (n, C) are what the scores became, in the same order, before ``precision`` significant digits of them
    are printed.
    """
    order = np.argsort(scores, axis=1)
    have = np.take_along_axis(scores, order, axis=1)
    become = np.take_along_axis(written, order, axis=1).astype(np.float64)
    low, high = become[:, :-1], become[:, 1:]
    # Only neighbours can be made equal, and only those within a step of the last digit have to be printed to see it.
    near = np.abs(high - low) <= 10.0 ** (1 - precision) * np.maximum(np.abs(low), np.abs(high))
    differ = have[:, 1:] != have[:, :-1]
    lost = differ & (high <= low)
    for row, column in np.argwhere(near & differ & ~lost).tolist():
        lost[row, column] = f"{low[row, column]:.{precision}g}" == f"{high[row, column]:.{precision}g}"
    return int(lost.any(axis=1).sum())
