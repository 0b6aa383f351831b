"""The judge of clips in text, or in a list of objects: each clip's name, and the row or rows that are about it."""

from __future__ import annotations

from collections.abc import Sequence

from tinkit.submission import text
from tinkit.submission.findings import Findings
from tinkit.submission.reading.judge_json import entry_of
from tinkit.submission.reading.judge_names import NameCheck
from tinkit.submission.reading.judge_rows import RowCheck
from tinkit.submission.reading.parts import Block
from tinkit.submission.reading.quick import quick_rows
from tinkit.submission.reading.stream import Clip
from tinkit.submission.spec import Challenge


class ClipCheck:
    """Judges rows as they come; where rows are long, all that are about one clip stand together.

    ``every``: of a text, every n-th block is judged.
    """

    def __init__(
        self, challenge: Challenge, names: NameCheck, rows: RowCheck, findings: Findings, every: int = 1
    ) -> None:
        self.challenge, self.names, self.rows, self.findings, self.every = challenge, names, rows, findings, every
        self.long = challenge.rows == "long"
        self.name: str | None = None
        self.line = 0
        self.labels: list[str] = []
        self.scores: list[float] = []

    def check_block(self, block: Block) -> bool:
        """Judge a block at once, if it is certainly right but for its names; else False, and nothing is done."""
        width = self.rows.width
        if width is None or block.first + block.ends > text.MAX_ROWS:
            return False
        found = quick_rows(block, self.challenge, width, self.rows.label_index)
        if found is None:
            return False
        self.names.check_all(found.first, found.names)
        self.rows.check_quick(found)
        return True

    def check_fields(self, line: int, fields: Sequence[str]) -> None:
        """Judge one row of text."""
        name, rest = fields[0], list(fields[1:])
        if not self.long:
            self.names.check(line, name)
            self.rows.check_fields(line, rest)
            return
        self._turn_to(line, name)
        if len(rest) != 2:
            hint = f"; is the delimiter {self.challenge.delimiter!r}?" if not rest else ""
            self.findings.add(line, "columns", f"{len(rest)} fields, expected a label and a score{hint}")
            return
        self.labels.append(rest[0])
        self.scores += self.rows.check_texts(line, rest[1:], 3)

    def check_object(self, found: Clip) -> None:
        """Judge one object of a list of labels."""
        if not isinstance(found.name, str):
            self.findings.add(found.line, "name", "an object without a file name")
            return
        self._turn_to(found.line, found.name)
        try:
            entry = entry_of(found.content, self.challenge)
        except ValueError as error:
            self.findings.add(found.line, "entry", str(error))
            return
        scores = entry.scores or []
        self.rows.check_numbers(found.line, scores, scores, 0)
        self.labels += entry.labels or []
        self.scores += scores

    def finish(self) -> None:
        """Judge the last clip of long rows."""
        if self.name is not None:
            self.rows.rows += 1
            self.rows.check_labels(self.line, self.labels)
            self.rows.note([self.labels, self.scores], self.scores)

    def _turn_to(self, line: int, name: str) -> None:
        """The rows from ``line`` on are about ``name``."""
        if name != self.name:
            self.finish()
            self.name, self.line, self.labels, self.scores = name, line, [], []
            self.names.check(line, name)
