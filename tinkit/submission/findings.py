"""What is found wrong with a submission file: a few problems of each kind are kept, all are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

GIVE_UP = 100_000  # errors; a file with more is another kind of file


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its ``line`` (from 1; None where it has none), its ``kind`` in a word, and what."""

    line: int | None
    kind: str
    severity: Literal["error", "warning"]
    message: str


class TooMuchError(Exception):
    """More errors than a report can be about."""


@dataclass
class Findings:
    """What is wrong with a file: ``keep`` problems of each kind, and how many there are."""

    keep: int
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    warnings: int = 0

    def add(self, line: int | None, kind: str, message: str, severity: Literal["error", "warning"] = "error") -> None:
        """Note a problem. Raises :class:`TooMuchError` once there are :data:`GIVE_UP` errors."""
        self.counts[kind] += 1
        if self.counts[kind] <= self.keep:
            self.problems.append(
                Problem(line, kind, severity, message if len(message) <= 300 else message[:297] + "...")
            )
        if severity == "error":
            self.errors += 1
        else:
            self.warnings += 1
        if self.errors >= GIVE_UP:
            raise TooMuchError
