"""The judge of file names: each against the list of test clips, in one pass and without keeping the rows."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Sequence

from tinkit.errors import UserError
from tinkit.submission.findings import Findings
from tinkit.submission.ids import VIDEOS, IdList
from tinkit.submission.matching import RULES, choose_rule
from tinkit.submission.names import NameRule, apply_rule
from tinkit.submission.spec import Challenge
from tinkit.submission.text import MAX_ROWS


class NameCheck:
    """Judges the names of a file as they come; ``rule`` is how they are compared with the list's."""

    def __init__(self, challenge: Challenge, ids: IdList | None, rule: NameRule, findings: Findings) -> None:
        self.challenge, self.ids, self.rule, self.findings = challenge, ids, rule, findings
        listed = () if ids is None else ids.ids
        self.place: dict[str, int] = {}
        for position, name in enumerate(listed):
            key = apply_rule(rule, challenge.file_name(name))
            if key in self.place:
                raise UserError(
                    f"{listed[self.place[key]]!r} and {name!r} of {ids.path if ids else ''} are both {key!r}"
                )
            self.place[key] = position
        self.line_of = [0] * len(listed)
        self.seen: dict[str, int] = {}
        self.last = -1

    def check_all(self, first: int, names: Sequence[str]) -> None:
        """Judge the names of consecutive lines."""
        for line, name in enumerate(names, first):
            self.check(line, name)

    def check(self, line: int, name: str) -> None:
        """Judge the name on ``line``."""
        if not name.strip():
            self.findings.add(line, "name", "a row without a file name")
            return
        if self.ids is None or name not in self.place:
            name = self._as_wanted(line, name)
        if self.ids is None:
            before = self.seen.setdefault(name, line)
            if before != line:
                self.findings.add(line, "doubled id", f"{name!r} is there already, in line {before}")
            if len(self.seen) > MAX_ROWS:
                raise UserError(f"more than {MAX_ROWS} different names", line=line)
            return
        place = self.place.get(name if self.rule == "id" else apply_rule(self.rule, name))
        if place is None:
            self.findings.add(line, "unknown id", f"{name!r} is not in the list of test clips{self._near(name)}")
        elif before := self.line_of[place]:
            self.findings.add(line, "doubled id", f"{name!r} is there already, in line {before}")
        else:
            self.line_of[place] = line
            self._check_order(line, name, place)

    def _as_wanted(self, line: int, name: str) -> str:
        """``name``, or what it should be, where the rules call every file otherwise."""
        rules = self.challenge
        if rules.filename == "id" and name.endswith(rules.suffix):
            return name
        bare = name.removesuffix(rules.suffix)
        wanted = apply_rule(rules.filename, bare) + rules.suffix
        if "/" not in bare and posixpath.splitext(bare)[1].lower() not in VIDEOS and rules.filename != "youtube":
            wanted = bare + rules.suffix  # a stem may hold a dot
        if wanted != name:
            rule = f"filename = {rules.filename!r}" + (f", suffix = {rules.suffix!r}" if rules.suffix else "")
            self.findings.add(line, "name", f"{name!r} should be {wanted!r} ({rule})")
        return wanted

    def _near(self, name: str) -> str:
        """In words, the listed name that looks like ``name``: other spaces, letters' case or Unicode form."""
        for form in ("NFC", "NFD"):
            if (other := unicodedata.normalize(form, name)) in self.place and other != name:
                return f"; it has {other!a} in another Unicode form"
        return f"; it has {name.strip()!r} without the spaces" if name.strip() in self.place else ""

    def _check_order(self, line: int, name: str, place: int) -> None:
        severity = self.challenge.order
        if place < self.last and severity != "any" and self.ids is not None and self.ids.ordered:
            self.findings.add(line, "order", f"{name!r} comes after a clip that the list has behind it", severity)
        self.last = place

    def finish(self) -> None:
        """Report the listed clips that no line was about."""
        if self.ids is None:
            return
        for name, line, listed in zip(self.ids.ids, self.line_of, self.ids.lines, strict=True):
            if not line:
                where = "" if self.ids.folder else f" (number {listed} of {self.ids.path.name})"
                message = f"{self.challenge.file_name(name)!r} has no row{where}"
                self.findings.add(None, "missing id", message, self.challenge.missing)


def rule_for(challenge: Challenge, ids: IdList | None, sample: Sequence[str]) -> NameRule:
    """How names are compared: verbatim, but for a folder's listing, which may be laid out otherwise, as suits best.

    ``sample`` are names of the file.
    """
    if ids is None or not ids.folder:
        return RULES[0]
    return choose_rule([challenge.file_name(name) for name in ids.ids], sample)
