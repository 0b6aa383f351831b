"""What a clip's entry in a JSON document says, and the judge of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinkit.files.text import is_text
from tinkit.submission.findings import Findings
from tinkit.submission.reading.judge_names import NameCheck
from tinkit.submission.reading.judge_rows import RowCheck
from tinkit.submission.reading.rows import Entry
from tinkit.submission.reading.stream import Beside, Clip
from tinkit.submission.spec import Challenge
from tinkit.submission.spec_parts import placeholder


def entry_of(content: Any, challenge: Challenge) -> Entry:
    """What ``content``, of one clip and one head, says. Raises :class:`ValueError` for what no entry says."""
    shape = challenge.shape
    match challenge.rows:
        case "scores" if shape.scores == "array":
            return Entry(None, _numbers(content))
        case "scores":
            if not isinstance(content, dict):
                raise ValueError(f"expected an object of labels and scores, found {_shown(content)}")
            return Entry(list(content), _numbers(list(content.values())))
        case "ranked":
            listed = [content] if challenge.most == 1 else content
            if not isinstance(listed, list):
                raise ValueError(f"expected a list of labels, found {_shown(content)}")
            return Entry([_label(one, challenge) for one in listed], None)
        case "long":
            pairs = [content]
        case "pairs":
            if not isinstance(content, list):
                raise ValueError(f"expected a list of labels with their scores, found {_shown(content)}")
            pairs = content
    for pair in pairs:
        if not isinstance(pair, dict) or not {shape.label_key, shape.score_key} <= pair.keys():
            wanted = f"an object with {shape.label_key!r} and {shape.score_key!r}"
            raise ValueError(f"expected {wanted}, found {_shown(pair)}")
    labels = [_label(pair[shape.label_key], challenge) for pair in pairs]
    return Entry(labels, _numbers([pair[shape.score_key] for pair in pairs]))


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list):
        raise ValueError(f"expected a list of scores, found {_shown(values)}")
    if not {float, int}.issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in (float, int))
        raise ValueError(f"{_shown(wrong)} is not a number")
    try:
        return list(map(float, values))
    except OverflowError as error:
        raise ValueError("a number that is too large") from error


def _label(value: Any, challenge: Challenge) -> str:
    wanted = int if challenge.labels == "index" else str
    if type(value) is not wanted:
        raise ValueError(f"{_shown(value)} is not a label, expected {'a whole number' if wanted is int else 'a text'}")
    return str(value)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


class JsonCheck:
    """Judges what :func:`~tinkit.submission.reading.stream.read_document` finds; ``rows`` are the judges of heads."""

    def __init__(
        self, challenge: Challenge, names: NameCheck, rows: Mapping[str, RowCheck], findings: Findings
    ) -> None:
        self.challenge, self.names, self.rows, self.findings = challenge, names, rows, findings
        self.beside: set[str] = set()
        self.clips = 0

    def check(self, found: Beside | Clip) -> None:
        """Judge one part of the document; entries of a long list are left to the judge of clips."""
        if isinstance(found, Beside):
            self._check_beside(found)
            return
        self.clips += 1
        if self.check_name(found):
            if not self.challenge.heads:
                self._check_entry(found.line, self.rows[""], found.content)
                return
            content = found.content
            if not isinstance(content, dict) or set(content) != set(self.rows):
                wanted = f"an object with {' and '.join(map(repr, self.rows))}"
                self.findings.add(found.line, "heads", f"expected {wanted}, found {_shown(content)}")
                return
            for head, rows in self.rows.items():
                self._check_entry(found.line, rows, content[head])

    def check_name(self, found: Clip) -> bool:
        """Judge the name of an entry; whether it has one."""
        if not isinstance(found.name, str) or not is_text(found.name):
            self.findings.add(found.line, "name", f"{_shown(found.name)} is not a file name")
            return False
        self.names.check(found.line, found.name)
        return True

    def finish(self) -> None:
        """Report what should stand beside the clips and does not."""
        for key in self.challenge.shape.fields:
            if key not in self.beside:
                self.findings.add(None, "field", f"the document has no key {key!r}")

    def _check_entry(self, line: int, rows: RowCheck, content: Any) -> None:
        try:
            entry = entry_of(content, self.challenge)
        except ValueError as error:
            self.findings.add(line, "entry", str(error))
            return
        rows.check_entry(line, entry)

    def _check_beside(self, found: Beside) -> None:
        if found.key in self.beside or found.key == self.challenge.shape.results:
            self.findings.add(found.line, "field", f"the key {found.key!r} is there twice")
            return
        self.beside.add(found.key)
        wanted = self.challenge.shape.fields
        if found.key not in wanted:
            self.findings.add(found.line, "field", f"the challenge has no key {found.key!r}", "warning")
            return
        for problem in self._differences(wanted[found.key], found.value, found.key):
            self.findings.add(found.line, "field", problem)

    def _differences(self, wanted: Any, value: Any, place: str) -> list[str]:
        """What is wrong with a value beside the clips."""
        if isinstance(wanted, dict):
            if not isinstance(value, dict):
                return [f"{place} is {_shown(value)}, expected an object"]
            missing = [f"{place}.{key} is missing" for key in wanted if key not in value]
            inner = [self._differences(wanted[key], value[key], f"{place}.{key}") for key in wanted if key in value]
            return missing + [problem for problems in inner for problem in problems]
        name = placeholder(wanted)
        if name is not None:
            asked = self.challenge.asked[name]
            return [] if asked.fits(value) else [f"{place} is {_shown(value)}, expected {asked.wanted()}"]
        return (
            [] if value == wanted and type(value) is type(wanted) else [f"{place} is {_shown(value)}, not {wanted!r}"]
        )
