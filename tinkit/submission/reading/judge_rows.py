"""The judge of what stands behind a file name: the right number of scores or labels, each of which can be one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinkit.submission.findings import Findings
from tinkit.submission.reading.quick import QuickRows
from tinkit.submission.reading.rows import Entry, is_number, parse_index, parse_scores
from tinkit.submission.spec import Challenge

_LEADING = 20  # classes by falling score among which equal scores are warned of


class RowCheck:
    """Judges the rows of one head as they come, of text or of JSON; ``classes`` are the names, ``count`` how many."""

    def __init__(
        self, challenge: Challenge, classes: Sequence[str] | None, count: int | None, findings: Findings
    ) -> None:
        self.challenge, self.findings = challenge, findings
        self.count, self.classes = count, None if classes is None else tuple(classes)
        self.index_of = None if classes is None else {name: index for index, name in enumerate(classes)}
        self.unnamed: dict[str, int] = {}
        self.width: int | None = None
        if challenge.rows == "scores" or challenge.top_needs() == challenge.most:
            self.width = count if challenge.rows == "scores" else challenge.width_of(count or 0)
        self.rows = self.tied = 0
        self.first: Any = None
        self.alike = True

    def label_index(self, text: str) -> int | None:
        """The class that a label stands for; None where it stands for none."""
        if self.challenge.labels == "text":
            if self.index_of is None:  # nobody said what the classes are called: any text is one
                return self.unnamed.setdefault(text, len(self.unnamed)) if text else None
            return self.index_of.get(text)
        index = parse_index(text, self.challenge.first_index)
        return None if index is None or (self.count is not None and index >= self.count) else index

    def check_quick(self, rows: QuickRows) -> None:
        """Take note of rows that were read together, and are right."""
        told = rows.values if rows.values is not None else rows.labels
        assert told is not None
        self.rows += len(told)
        if self.alike:
            self.first = told[0].tolist() if self.first is None else self.first
            self.alike = len(self.first) == told.shape[1] and bool((told == np.array(self.first)).all())
        if rows.values is not None:
            ranked = np.sort(rows.values, axis=1)[:, -_LEADING - 1 :]
            self.tied += int((ranked[:, 1:] == ranked[:, :-1]).any(axis=1).sum())

    def check_header(self, line: int, fields: list[str]) -> None:
        """Judge a first line that names columns."""
        if not self.challenge.header:
            self.findings.add(line, "header", f"a header ({fields[0]!r} ...), which the challenge has not")
            return
        scores = self.challenge.rows == "scores"
        width = self.count if scores and self.count is not None else len(fields) - 1
        wanted = self.challenge.header_row(width, self.classes if self.classes and len(self.classes) == width else None)
        if "{name}" in self.challenge.columns and self.classes is None:
            wanted[1:] = fields[1:]  # nobody said what the classes are called
        if fields == wanted:
            self.width = width if scores else self.width
            return
        place = next((i for i, (a, b) in enumerate(zip(fields, wanted, strict=False)) if a != b), None)
        if place is None:
            self.findings.add(line, "header", f"the header has {len(fields)} columns, expected {len(wanted)}")
        else:
            self.findings.add(
                line, "header", f"column {place + 1} is called {fields[place]!r}, expected {wanted[place]!r}"
            )

    def check_fields(self, line: int, fields: list[str]) -> None:
        """Judge the fields after the name on ``line``."""
        self.rows += 1
        match self.challenge.rows:
            case "scores":
                if self._check_width(line, len(fields), "scores"):
                    values = self.check_texts(line, fields, 2)
                    self.note(values, values)
            case "ranked":
                if self._check_width(line, len(fields), "labels"):
                    self.check_labels(line, fields)
                    self.note([self.label_index(text) for text in fields])
            case "pairs":
                self._check_cell(line, fields)

    def check_entry(self, line: int, entry: Entry) -> None:
        """Judge what a JSON document says of one clip."""
        self.rows += 1
        scores, labels = entry.scores, entry.labels
        if self.challenge.rows == "scores":
            self._check_width(line, len(scores or ()), "scores")
            for text in labels or ():
                if self.label_index(text) is None:
                    self._unknown(line, text)
        else:
            self.check_labels(line, labels or ())
        if scores is not None:
            self.check_numbers(line, scores, scores, 0)
        self.note([labels, scores] if self.challenge.rows == "pairs" else scores or labels or (), scores)

    def check_labels(self, line: int, labels: Sequence[str]) -> None:
        """Judge the labels that a clip lists, as texts, and how many they are."""
        if len(set(labels)) < len(labels):
            self.findings.add(line, "doubled label", "a label is there twice")
        if self.challenge.rows != "ranked" or self.width is None:
            # Without a number of classes, it is not known whether there are as many as `top` says.
            count = self.count
            least = self.challenge.fewest(0) if count is None else min(self.challenge.fewest(count), count)
            if not least <= len(labels) <= self.challenge.most:
                most = "more" if self.challenge.most == 1 << 31 else str(self.challenge.most)
                self.findings.add(line, "labels", f"{len(labels)} labels, expected {least} to {most}")
        for text in labels:
            if self.label_index(text) is None:
                self._unknown(line, text)

    def check_numbers(self, line: int, values: Sequence[float], texts: Sequence[object], column: int) -> None:
        """Judge numbers, which ``texts`` show; ``column`` is the first one's, from 1, or 0 where there are none."""
        wrong = None
        if not all(map(math.isfinite, values)):
            bad = [
                not math.isfinite(value) and not (self.challenge.infinite and value == -math.inf) for value in values
            ]
            wrong = ("not finite", bad.index(True), "") if any(bad) else None
        elif self.challenge.values == "probabilities" and values and (min(values) < 0 or max(values) > 1):
            place = next(i for i, value in enumerate(values) if not 0 <= value <= 1)
            wrong = ("not a probability", place, ", expected 0 to 1")
        if wrong is not None:
            kind, place, expected = wrong
            where = f"column {column + place}" if column else f"score {place + 1}"
            self.findings.add(line, kind, f"{where} is {texts[place]}{expected}")

    def finish(self) -> None:
        """Report rows that are all the same, and rankings that equal numbers leave open."""
        if self.findings.errors:
            return
        if self.rows > 1 and self.alike:
            message = f"all {self.rows} rows are alike: they say the same of every clip"
            self.findings.add(None, "alike", message, "warning")
        elif self.tied:
            message = (
                f"in {self.tied} of {self.rows} rows, two of the {_LEADING} highest scores are the same number: "
                "rounding may have tied the ranking"
            )
            self.findings.add(None, "ties", message, "warning")

    def note(self, told: Sequence[Any], values: Sequence[float] | None = None) -> None:
        """Take note of what one clip was told, to say whether all were told the same, and of its scores, if any."""
        if self.alike:
            self.first = list(told) if self.first is None else self.first
            self.alike = list(told) == self.first
        if values is not None and len(values) > 1:
            ranked = sorted(values)[-_LEADING - 1 :]
            self.tied += any(a == b for a, b in itertools.pairwise(ranked))

    def _check_width(self, line: int, found: int, what: str) -> bool:
        """Whether the row is worth a look; its number of fields is judged."""
        if self.challenge.rows == "ranked" and self.challenge.top_needs() != self.challenge.most:
            return True
        if self.width is None:
            self.width = found
        if found != self.width or not found:
            hint = "" if found else f"; is the delimiter {self.challenge.delimiter!r}?"
            self.findings.add(line, "columns", f"{found} {what}, expected {self.width or 'some'}{hint}")
        return found > 0

    def check_texts(self, line: int, fields: Sequence[str], column: int) -> list[float]:
        """Judge the texts of numbers; returns the numbers, none where one is not a number. ``column`` as below."""
        try:
            values = parse_scores(fields)
        except ValueError:
            place = next(i for i, text in enumerate(fields) if not is_number(text))
            where = f"column {column + place}" if column else f"score {place + 1}"
            self.findings.add(line, "not a number", f"{where} is {fields[place][:40]!r}")
            return []
        self.check_numbers(line, values, fields, column)
        return values

    def _check_cell(self, line: int, fields: list[str]) -> None:
        parts = fields[0].split(self.challenge.pair_delimiter) if len(fields) == 1 else []
        if len(fields) != 1 or len(parts) % 2 or not all(parts):
            message = f"{len(fields)} fields" if len(fields) != 1 else f"{fields[0][:40]!r}"
            wanted = f"pairs of label and score, all parted by {self.challenge.pair_delimiter!r}"
            self.findings.add(line, "columns", f"{message}, expected one field of {wanted}")
            return
        self.check_labels(line, parts[::2])
        self.note(parts, self.check_texts(line, parts[1::2], 0))

    def _unknown(self, line: int, text: str) -> None:
        if self.challenge.labels == "text":
            self.findings.add(line, "unknown label", f"{text!r} is not a class")
            return
        first = self.challenge.first_index
        zero = ", without leading zeros" if text[:1] == "0" and text.isdigit() and len(text) > 1 else ""
        wanted = f"{first} or more" if self.count is None else f"{first} to {first + self.count - 1}"
        self.findings.add(line, "unknown label", f"{text[:40]!r} is not the index of a class, expected {wanted}{zero}")
