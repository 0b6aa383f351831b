"""From rows of scores to what stands in the leaderboard's file for each clip, as text or as JSON.

A clip's text is made of elements, one a class that it lists: what stands before the element's number, the number,
what stands behind it. The rules of text and of JSON differ in these pieces only. All is done for a block of clips at a
time, by Arrow; Python sees one text a clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.scores.kinds import Values, rows_as
from tinkit.scores.table import in_chunks
from tinkit.submission.plan import Part
from tinkit.submission.spec import Challenge
from tinkit.submission.writing.numbers import as_written, differing, joined, number_texts, picked
from tinkit.submission.writing.wording import quoted

_BLOCK = 1 << 20  # elements of clips at a time
_ALL_DIGITS = 17
_APART = 22.0  # up to here the sigmoids of neighbouring float32 logits are different float64 numbers


@dataclass(frozen=True)
class Pieces:
    """What a clip's text is made of: ``begin``, the elements parted by ``between``, ``end``.

    An element is the class's text of ``before`` (None: nothing), its number unless ``numbers`` is False, and ``after``.
    ``named``: the clip's name stands before each element, not once.
    """

    before: tuple[str, ...] | None
    after: str
    begin: str
    between: str
    end: str
    numbers: bool = True
    named: bool = False


def pieces_of(part: Part, challenge: Challenge) -> Pieces:
    """The pieces of the file that ``challenge`` wants."""
    return _json_pieces(part, challenge) if challenge.syntax == "json" else _text_pieces(part, challenge)


def _text_pieces(part: Part, challenge: Challenge) -> Pieces:
    delimiter, mark = challenge.delimiter, '"' if challenge.quoting == "all" else ""
    labels = [quoted(label, challenge) for label in part.labels]
    match challenge.rows:
        case "scores":
            return Pieces(None, "", f"{delimiter}{mark}", f"{mark}{delimiter}{mark}", f"{mark}\n")
        case "ranked":
            return Pieces(tuple(labels), "", delimiter, delimiter, "\n", numbers=False)
        case "long":
            before = tuple(f"{delimiter}{label}{delimiter}{mark}" for label in labels)
            return Pieces(before, f"{mark}\n", "", "", "", named=True)
        case "pairs":
            inner = challenge.pair_delimiter
            before = tuple(f"{label}{inner}" for label in part.labels)
            mark = mark or ('"' if challenge.quoting == "csv" and any('"' in label for label in part.labels) else "")
            if mark:
                before = tuple(text.replace('"', '""') for text in before)
            return Pieces(before, "", f"{delimiter}{mark}", inner, f"{mark}\n")


def _json_pieces(part: Part, challenge: Challenge) -> Pieces:
    shape = challenge.shape
    by_index = challenge.labels == "index"
    labels = part.labels if by_index else [as_json(label) for label in part.labels]
    scored = tuple(f"{as_json(shape.label_key)}:{label},{as_json(shape.score_key)}:" for label in labels)
    match challenge.rows:
        case "scores" if shape.scores == "array":
            return Pieces(None, "", "[", ",", "]")
        case "scores":
            return Pieces(tuple(f"{as_json(label)}:" for label in part.labels), "", "{", ",", "}")
        case "ranked":
            alone = challenge.most == 1
            return Pieces(tuple(labels), "", "" if alone else "[", ",", "" if alone else "]", numbers=False)
        case "long":
            return Pieces(tuple(f",{text}" for text in scored), "}", "", ",\n", "", named=True)
        case "pairs":
            return Pieces(tuple(f"{{{text}" for text in scored), "}", "[", ",", "]")


def as_json(text: str) -> str:
    """``text`` as a JSON string, in its own characters."""
    return json.dumps(text, ensure_ascii=False)


class Lines:
    """Makes the texts of one part's clips, a block at a time, and remembers what must be said of all."""

    def __init__(self, part: Part, challenge: Challenge) -> None:
        self.part, self.challenge, self.pieces = part, challenge, pieces_of(part, challenge)
        self.before = None if self.pieces.before is None else pa.array(self.pieces.before, pa.string())
        self.done = self.equal = self.tied = 0
        self.first: NDArray[Any] | None = None
        self.alike = True

    def bodies(self, rows: NDArray[np.int64], names: Sequence[str]) -> pa.StringArray:
        """The elements of each clip whose scores are in ``rows``, put together, (n,); what begins and ends them is not
        there. ``names`` are as the file has them; where rows are long, they are part of it.
        """
        values = self._values(rows)
        listed, counts = self._listed(values, names)
        self._remember(values, listed, rows)
        return joined(self._elements(values, listed, counts, names), counts, self.pieces.between)

    def texts(self, rows: NDArray[np.int64], names: Sequence[str]) -> list[str]:
        """As :meth:`bodies`, each with what begins and ends it."""
        begin, end = self.pieces.begin, self.pieces.end
        return [f"{begin}{body}{end}" for body in self.bodies(rows, names).to_pylist()]

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """``rows``, as many at a time as make a few megabytes of text."""
        step = max(1, _BLOCK // self.part.table.scores.shape[1])
        for chunk in in_chunks(rows):
            for start in range(0, len(chunk), step):
                yield chunk[start : start + step]

    def notes(self) -> list[str]:
        """What must be known of the texts made so far."""
        of = f" of {self.part.head}" if self.part.head else ""
        notes = []
        if self.alike and self.done > 1:
            notes.append(f"all {self.done} rows{of} are alike: the scores say the same of every clip")
        if self.equal:
            how = f"precision = {self.challenge.precision}"
            if self.challenge.decimals is not None:
                how = f"decimals = {self.challenge.decimals}"
            notes.append(
                f"in {self.equal} of {self.done} rows{of}, scores that differ became equal in the written "
                f"{self.part.kind} ({how}): the order of those classes is lost"
            )
        if self.tied:
            notes.append(
                f"in {self.tied} of {self.done} rows{of}, classes of equal score were listed by their index, the "
                f"{'lower' if self.challenge.ties == 'first' else 'higher'} first"
            )
        return notes

    def _values(self, rows: NDArray[np.int64]) -> Values:
        """What is written, or ranked, for ``rows``, (n, C)."""
        part = self.part
        scored = part.table.valid[rows]
        if scored.all():
            return rows_as(part.table, rows, part.kind)
        if part.fill is None:
            raise ValueError("rows without scores and nothing to fill them with")
        values = np.tile(part.fill, (len(rows), 1))
        values[scored] = rows_as(part.table, rows[scored], part.kind)
        return values

    def _listed(self, values: Values, names: Sequence[str]) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
        """The classes that each clip lists, best first, (n, at most C), and how many of them count, (n,).

        None for all, in order.
        """
        rules, width = self.challenge, values.shape[1]
        if rules.rows == "scores":
            return None, np.full(len(values), width)
        if rules.ties == "last":
            order = width - 1 - np.argsort(-values[:, ::-1], axis=1, kind="stable")
        else:
            order = np.argsort(-values, axis=1, kind="stable")
        most = min(rules.most, width)
        ranked = picked(values, order[:, : most + 1])
        tied = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
        self.tied += int(tied.sum())
        if rules.ties == "refuse" and tied.any():
            raise UserError(
                f"the clip {names[int(tied.argmax())]} has classes of equal score among those that are listed",
                fix='a challenge file with `ties = "first"` lists the lower index first',
            )
        counts = np.full(len(values), most)
        if rules.threshold is not None:
            above = np.count_nonzero(ranked[:, :most] >= rules.threshold, axis=1)
            counts = np.clip(above, min(rules.fewest(width), most), most)
        return order[:, :most], counts

    def _elements(
        self, values: Values, listed: NDArray[np.int64] | None, counts: NDArray[np.int64], names: Sequence[str]
    ) -> pa.StringArray:
        """Every clip's elements, one behind the other."""
        pieces, rules = self.pieces, self.challenge
        chosen = np.arange(values.shape[1] if listed is None else listed.shape[1]) < counts[:, None]
        classes = np.broadcast_to(np.arange(values.shape[1]), values.shape) if listed is None else listed
        parts: list[pa.Array | pa.Scalar] = []
        if pieces.named:
            begin = f"{{{as_json(rules.shape.id_key)}:" if rules.syntax == "json" else ""
            parts.append(pa.array([begin + name for name in names]).take(pa.array(np.nonzero(chosen)[0])))
        if self.before is not None:
            parts.append(self.before.take(pa.array(classes[chosen])))
        if pieces.numbers:
            kept = values if listed is None else picked(values, listed)[chosen]
            parts.append(number_texts(kept, rules.precision, rules.decimals))
        if pieces.after:
            parts.append(pa.scalar(pieces.after))
        return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "")

    def _remember(self, values: Values, listed: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> None:
        """Count what :meth:`notes` tells, of a block."""
        self.done += len(rows)
        told: NDArray[Any] = values if self.pieces.numbers or listed is None else listed
        if self.alike:
            self.first = told[0] if self.first is None else self.first
            self.alike = bool((told == self.first).all())
        if self.pieces.numbers and not self._surely_apart(self.part.table.scores[rows]):
            scored = self.part.table.valid[rows]
            have: Values = self.part.table.scores[rows[scored]]
            become = values[scored]
            if listed is not None:
                have, become = picked(have, listed[scored]), picked(become, listed[scored])
            self.equal += rows_made_equal(have, become, self.challenge.precision, self.challenge.decimals)

    def _surely_apart(self, scores: NDArray[np.float32]) -> bool:
        """Whether no two of these scores can become one number, whatever they are; False where that is not known."""
        part, rules = self.part, self.challenge
        exact = rules.decimals is None and rules.precision == _ALL_DIGITS
        if part.kind == part.table.info.kind:
            return exact and part.kind != "probabilities"  # of which those above 1 are cut off
        sigmoids = part.table.info.kind == "logits" and part.table.info.task == "multi-label"
        return exact and sigmoids and bool(np.nanmax(np.abs(scores), initial=0) <= _APART)


def rows_made_equal(scores: Values, written: Values, precision: int, decimals: int | None = None) -> int:
    """In how many rows two different ``scores`` (n, C) have the same number in the file.

    ``written`` (n, C) are what the scores became, before they are rounded to ``precision`` or ``decimals``.
    """
    return int(np.count_nonzero(differing(as_written(written, precision, decimals)) < differing(scores)))
