"""Judge a submission file, whoever wrote it, line by line against the challenge's rules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinkit.errors import UserError
from tinkit.submission.findings import GIVE_UP, Findings, Problem, TooMuchError
from tinkit.submission.ids import IdList
from tinkit.submission.manifest import MANIFEST, differs_from_manifest
from tinkit.submission.matching import choose_rule
from tinkit.submission.rows import is_header, is_number, parse_index, parse_scores, split_rows
from tinkit.submission.spec import Challenge, NameRule, apply_rule
from tinkit.submission.text import ends_in_newline, is_zip, odd_name, require_file, zip_members

_SAMPLE = 1000  # rows looked at to see how a folder's names compare with the file's


@dataclass(frozen=True)
class CheckReport:
    """What a check found: at most a few ``problems`` of each kind, and the ``counts`` of all, by kind."""

    path: Path
    rows: int
    problems: tuple[Problem, ...]
    counts: dict[str, int]
    errors: int
    warnings: int
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the leaderboard would take the file: warnings allowed, errors not."""
        return self.errors == 0


def check_submission(
    path: Path,
    challenge: Challenge,
    *,
    ids: IdList | None = None,
    classes: Sequence[str] | None = None,
    num_classes: int | None = None,
    keep: int = 5,
) -> CheckReport:
    """Judge ``path``; at most ``keep`` problems of each kind are kept, all are counted.

    Without ``ids`` it is not known whether clips are missing or invented, without ``classes`` or ``num_classes``
    whether labels exist: the notes say so. The file is streamed. Raises :class:`~tinkit.errors.UserError` only where
    there is no file to judge, or where the other arguments are wrong.
    """
    require_file(path)
    count = known_classes(challenge, classes, num_classes)
    findings = Findings(keep)
    notes = []
    if ids is None:
        notes.append("no list of test clips was given (--ids): missing and invented clips cannot be found")
    if challenge.rows == "ranked" and (classes is None if challenge.labels == "text" else count is None):
        notes.append("no classes were given (--categories): whether the labels exist was not checked")
    rule = _rule_for(path, challenge, ids)
    if rule != "id":
        notes.append("the names were compared with the folder's by " + ("base name" if rule == "basename" else "stem"))
    names = _NameCheck(challenge, ids, rule, findings)
    rows = 0
    try:
        _check_container(path, challenge, findings)
        for message in odd_name(path, challenge) if not findings.errors else ():
            findings.add(None, "file name", message, "warning")
        if differs_from_manifest(path):
            findings.add(None, "manifest", f"differs from what {MANIFEST} beside it describes", "warning")
        values = _RowCheck(challenge, classes, count, findings)
        for number, fields in _rows(path, challenge, values, findings):
            rows += 1
            names.check(number, fields[0])
            values.check(number, fields[1:])
        names.finish()
        values.finish(rows)
        if not rows:
            findings.add(None, "empty", "the file has no rows")
    except TooMuchError:
        notes.append(f"reading stopped at {GIVE_UP} errors")
    except UserError as error:
        with suppress(TooMuchError):
            findings.add(error.line, "unreadable", error.problem)
        notes.append("reading stopped there")
    problems = tuple(sorted(findings.problems, key=lambda problem: (problem.line is None, problem.line or 0)))
    return CheckReport(path, rows, problems, dict(findings.counts), findings.errors, findings.warnings, tuple(notes))


def known_classes(challenge: Challenge, classes: Sequence[str] | None, num_classes: int | None) -> int | None:
    """The number of classes that is known before reading. Raises where two sources of it differ."""
    counts = {
        "the challenge": challenge.num_classes,
        "--categories": None if classes is None else len(classes),
        "--num-classes": num_classes,
    }
    found = {source: count for source, count in counts.items() if count is not None}
    if len(set(found.values())) > 1:
        raise UserError(
            "the number of classes differs: " + ", ".join(f"{source} {count}" for source, count in found.items()),
            fix="give only the right one",
        )
    return next(iter(found.values()), None)


def _check_container(path: Path, challenge: Challenge, findings: Findings) -> None:
    zipped = is_zip(path)
    if zipped != challenge.zip:
        wanted, got = ("a zip archive", "plain text") if challenge.zip else ("plain text", "a zip archive")
        findings.add(None, "container", f"the file is {got}, the challenge wants {wanted}")
    if zipped and challenge.zip:
        names = [member.filename for member in zip_members(path)]
        if names != [challenge.member]:
            shown = ", ".join(names[:5]) or "nothing"
            findings.add(None, "container", f"the archive holds {shown}; the challenge wants {challenge.member} alone")


def _rule_for(path: Path, challenge: Challenge, ids: IdList | None) -> NameRule:
    """How names are compared: verbatim, but for a folder's listing, which may be laid out otherwise, as suits best."""
    if ids is None or not ids.folder:
        return "id"
    sample: list[str] = []
    with suppress(UserError):  # an unreadable file is reported when it is read whole
        rows = itertools.islice(split_rows(path, challenge), _SAMPLE)
        sample += [fields[0] for _, fields in rows if isinstance(fields, list)]
    return choose_rule([challenge.file_name(name) for name in ids.ids], sample)


def _rows(path: Path, challenge: Challenge, values: _RowCheck, findings: Findings) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header, which is judged here, as blank lines, wrong quotes and a last line cut short are."""
    first, number = True, 0
    for number, fields in split_rows(path, challenge):
        if isinstance(fields, str):
            findings.add(number, "quotes", f"the quotes do not match: {fields}")
            continue
        if fields == [""]:
            findings.add(number, "blank line", "a blank line")
            continue
        if first:
            first = False
            if is_header(fields, challenge):
                values.check_header(number, fields)
                continue
            if challenge.header:
                findings.add(number, "header", f"the header is missing: {challenge.id_column!r} and so on")
        yield number, fields
    if number and not ends_in_newline(path):
        findings.add(number, "line end", "the last line has no end: was the file cut short?", "warning")


class _NameCheck:
    """The first field of every row against the list of test clips, in one pass and without keeping the rows."""

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

    def check(self, line: int, name: str) -> None:
        """Judge the name on ``line``."""
        if not name.strip():
            self.findings.add(line, "name", "a row without a file name")
            return
        if (wanted := self.challenge.file_name(name)) != name:
            self.findings.add(line, "name", f"{name!r} should be {wanted!r} (filename = {self.challenge.filename!r})")
            name = wanted
        if self.ids is None:
            before = self.seen.setdefault(name, line)
            if before != line:
                self.findings.add(line, "doubled id", f"{name!r} is there already, in line {before}")
            return
        place = self.place.get(apply_rule(self.rule, name))
        if place is None:
            self.findings.add(line, "unknown id", f"{name!r} is not in the list of test clips")
        elif before := self.line_of[place]:
            self.findings.add(line, "doubled id", f"{name!r} is there already, in line {before}")
        else:
            self.line_of[place] = line
            self._check_order(line, name, place)

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
                self.findings.add(None, "missing id", f"{self.challenge.file_name(name)!r} has no row{where}")


class _RowCheck:
    """What follows the file name: the right number of scores or labels, each of which can be what it says."""

    def __init__(
        self, challenge: Challenge, classes: Sequence[str] | None, count: int | None, findings: Findings
    ) -> None:
        self.challenge, self.findings = challenge, findings
        self.width = challenge.top if challenge.rows == "ranked" else count
        self.count = count
        self.texts = None if classes is None else frozenset(classes)
        self.first: list[str] | None = None
        self.alike = True

    def finish(self, rows: int) -> None:
        """Report rows that are all the same."""
        if rows > 1 and self.alike and not self.findings.errors:
            message = f"all {rows} rows are alike: they say the same of every clip"
            self.findings.add(None, "alike", message, "warning")

    def check_header(self, line: int, fields: list[str]) -> None:
        """Judge a first line that names columns."""
        if not self.challenge.header:
            self.findings.add(line, "header", f"a header ({fields[0]!r} ...), which the challenge has not")
            return
        width = len(fields) - 1 if self.width is None else self.width
        wanted = self.challenge.header_row(width)
        if fields == wanted:
            self.width = width
            return
        place = next((i for i, (a, b) in enumerate(zip(fields, wanted, strict=False)) if a != b), None)
        if place is None:
            self.findings.add(line, "header", f"the header has {len(fields)} columns, expected {len(wanted)}")
        else:
            self.findings.add(
                line, "header", f"column {place + 1} is called {fields[place]!r}, expected {wanted[place]!r}"
            )

    def check(self, line: int, fields: list[str]) -> None:
        """Judge the fields after the name on ``line``."""
        if self.alike:
            self.first = fields if self.first is None else self.first
            self.alike = fields == self.first
        if self.width is None:
            self.width = len(fields)
        if len(fields) != self.width or not fields:
            what = "labels" if self.challenge.rows == "ranked" else "scores"
            hint = "" if fields else f"; is the delimiter {self.challenge.delimiter!r}?"
            self.findings.add(line, "columns", f"{len(fields)} {what}, expected {self.width or 'some'}{hint}")
            if not fields:
                return
        if self.challenge.rows == "scores":
            self._check_scores(line, fields)
        else:
            self._check_labels(line, fields)

    def _check_scores(self, line: int, fields: list[str]) -> None:
        try:
            values = parse_scores(fields)
        except ValueError:
            place = next(i for i, text in enumerate(fields) if not is_number(text))
            self.findings.add(line, "not a number", f"column {place + 2} is {fields[place][:40]!r}")
            return
        if not all(map(math.isfinite, values)):
            place = next(i for i, value in enumerate(values) if not math.isfinite(value))
            self.findings.add(line, "not finite", f"column {place + 2} is {fields[place]}")
        elif self.challenge.values == "probabilities" and (min(values) < 0 or max(values) > 1):
            place = next(i for i, value in enumerate(values) if not 0 <= value <= 1)
            self.findings.add(line, "not a probability", f"column {place + 2} is {fields[place]}, expected 0 to 1")

    def _check_labels(self, line: int, fields: list[str]) -> None:
        if len(set(fields)) < len(fields):
            self.findings.add(line, "doubled label", "a label is there twice")
        for text in fields:
            if self.challenge.labels == "text":
                if not text or (self.texts is not None and text not in self.texts):
                    self.findings.add(line, "unknown label", f"{text!r} is not a class")
                continue
            index = parse_index(text, self.challenge.first_index)
            if index is None or (self.count is not None and index >= self.count):
                first = self.challenge.first_index
                zero = ", without leading zeros" if text[:1] == "0" and text.isdigit() and len(text) > 1 else ""
                wanted = f"{first} or more" if self.count is None else f"{first} to {first + self.count - 1}"
                self.findings.add(
                    line, "unknown label", f"{text[:40]!r} is not the index of a class, expected {wanted}{zero}"
                )
