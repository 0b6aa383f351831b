"""The hidden labels of test clips, for a rehearsal, from whatever the user has of them; and groups of clips."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError, did_you_mean
from tinkit.files.text import read_text
from tinkit.submission.ids import IdList
from tinkit.submission.names import NameRule, apply_rule
from tinkit.submission.spec import Challenge
from tinkit.submission.text import require_file
from tinkit.submission.truth import read_truth

Labels = tuple[int, ...]

_IDS = ("id", "narration_id", "uid", "video", "filename")
_INDEX = re.compile(r"-?\d{1,9}", re.ASCII)
_EXPECTED = "csv with the header `id,labels`, class indices split by spaces"


@dataclass(frozen=True)
class Answers:
    """The hidden labels of the test clips: ``labels[i]``, class indices from 0, are those of ``ids.ids[i]``.

    ``heads`` has those of each head instead, where there are several; ``columns`` what else the file says of each clip.
    ``rule``: what the ids are of a clip's.
    """

    ids: IdList
    labels: tuple[Labels, ...]
    heads: Mapping[str, tuple[Labels, ...]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rule: NameRule = "id"

    def by_id(self, clips: Sequence[str] = ()) -> dict[str, Labels]:
        """The labels of each id, and of those ``clips`` that the answers call otherwise."""
        known = dict(zip(self.ids.ids, self.labels, strict=True))
        if self.rule == "id":
            return known
        return {name: known[key] for name in clips if (key := apply_rule(self.rule, name)) in known} | known


@dataclass(frozen=True)
class Group:
    """Clips that are measured on their own: those whose value in a column of the answers is among ``values``.

    ``values`` has the values by column; ``name`` is what the group is called.
    """

    name: str
    values: Mapping[str, frozenset[str]]


def read_answers(
    path: Path, heads: Sequence[str] = (), *, classes: Sequence[str] | None = None, split: str | None = None
) -> Answers:
    """The answers in ``path``, of several ``heads`` or of one.

    csv with the header ``id,labels`` and perhaps further columns, class indices from 0 split by spaces; of heads a
    column each, ``HEAD`` or ``HEAD_class``; Charades' annotations (``id`` and ``actions``: ``c092 11.90 21.20;...``);
    or a score file that knows its labels; or a ground truth (:mod:`tinkit.submission.truth`), of which the labelled
    videos of ``split`` are taken, whose labels are the names of ``classes``. Raises
    :class:`~tinkit.errors.UserError` naming the line of a row that is none, and both lines of a doubled id.
    """
    require_file(path)
    if path.suffix.lower() == ".json" and not heads:
        return _from_truth(path, classes, split)
    if path.suffix.lower() == ".arrow" and not heads:
        return _from_scores(path)
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows += [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"no answer: {error}", file=path, line=reader.line_num, expected=_EXPECTED) from error
    if not rows:
        raise UserError("holds no answers", file=path, expected=_EXPECTED)
    line, header = rows[0]
    columns = _columns(header, heads, path, line)
    ids: dict[str, int] = {}
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise UserError(
                f"no answer: {len(row)} fields, and the header has {len(header)}",
                file=path,
                line=line,
                expected=_EXPECTED,
            )
        if row[columns[""]] in ids:
            raise UserError(
                f"{row[columns['']]!r} is there already, in line {ids[row[columns['']]]}", file=path, line=line
            )
        ids[row[columns[""]]] = line
    if not ids:
        raise UserError("holds no answers", file=path, expected=_EXPECTED)
    wanted = heads or ("labels",)
    found = {
        name: tuple(_labels(row[columns[name]], header[columns[name]], path, line) for line, row in rows[1:])
        for name in wanted
    }
    others = [name for name in header if name.strip() and header.count(name) == 1]
    listed = IdList(path, "answers", tuple(ids), tuple(ids.values()), ordered=False)
    more = {name: tuple(row[header.index(name)] for _, row in rows[1:]) for name in others}
    return Answers(listed, () if heads else found["labels"], found if heads else {}, more)


def _columns(header: Sequence[str], heads: Sequence[str], path: Path, line: int) -> dict[str, int]:
    """The place of each column that is needed: ``""`` of the ids, and of each head or of ``labels``."""
    id_name = next((name for name in _IDS if name in header), None) if heads or header[:1] != ["id"] else "id"
    places = {} if id_name is None else {"": header.index(id_name)}
    for name in heads or ("labels",):
        choices = (f"{name}_class", name) if heads else ("labels", "actions")
        if (found := next((choice for choice in choices if choice in header), None)) is not None:
            places[name] = header.index(found)
    if len(places) < 1 + len(heads or ("labels",)) or (not heads and id_name != "id"):
        expected = f"csv with the columns id, {', '.join(heads)}" if heads else _EXPECTED
        raise UserError(f"the header is {','.join(header)[:60]!r}", file=path, line=line, expected=expected)
    return places


def _labels(text: str, column: str, path: Path, line: int) -> Labels:
    words = text.split()
    if column == "actions":  # an action may happen several times
        words = list(dict.fromkeys(part.split()[0].removeprefix("c") for part in text.split(";") if part.strip()))
    try:
        if not all(_INDEX.fullmatch(word) for word in words):
            raise ValueError(f"{text[:40]!r} is not class indices")
        indices = tuple(map(int, words))
        if min(indices, default=0) < 0:
            raise ValueError("a negative index")
        return indices
    except ValueError as error:
        raise UserError(f"no answer: {error}", file=path, line=line, expected=_EXPECTED) from error


def _from_truth(path: Path, classes: Sequence[str] | None, split: str | None) -> Answers:
    truth = read_truth(path, split, labelled=True)
    if classes is None:
        raise UserError(
            f"names classes, such as {truth.labels[0][0]!r}, and it is not known which is which",
            file=path,
            fix="give the category file or the score file with --categories",
        )
    place = {name: index for index, name in enumerate(classes)}
    for name, labels in zip(truth.ids, truth.labels, strict=True):
        if (unknown := next((label for label in labels if label not in place), None)) is not None:
            raise UserError(
                f"{name!r} has the class {unknown!r}{did_you_mean(unknown, classes)}",
                file=path,
                expected=f"one of the {len(classes)} classes",
            )
    places = tuple(range(1, len(truth.ids) + 1))
    listed = IdList(path, f"the labelled videos of the subset {truth.subset}", truth.ids, places, ordered=False)
    indices = tuple(tuple(place[label] for label in own) for own in truth.labels)
    return Answers(listed, indices, rule="youtube")


def _from_scores(path: Path) -> Answers:
    from tinkit.scores import read_scores

    table = read_scores(path)
    labels = list(table.labels)
    if not labels or any(own is None for own in labels):
        raise UserError("holds clips whose labels are unknown", file=path, expected="the scores of a labelled split")
    listed = IdList(path, "answers", tuple(table.ids), tuple(range(1, len(labels) + 1)), ordered=False)
    return Answers(listed, tuple(tuple(own) for own in labels if own is not None))


def read_group(name: str, paths: Sequence[Path]) -> Group:
    """A group of clips: the values that csv files list under their first column's header.

    Raises :class:`~tinkit.errors.UserError` for a file without values.
    """
    values: dict[str, frozenset[str]] = {}
    for path in paths:
        rows = [row for row in csv.reader(io.StringIO(read_text(path))) if row]
        if len(rows) < 2:
            raise UserError("lists nothing", file=path, expected="a csv: a column's name, and a value a line")
        values[rows[0][0].strip()] = frozenset(row[0].strip() for row in rows[1:])
    return Group(name, values)


def in_group(group: Group, answers: Answers, challenge: Challenge) -> dict[str, NDArray[np.bool_]]:
    """Which clips are in ``group``, (N,) of bool, for each head and for pairs of heads.

    A list of one head's classes picks clips for that head, and for pairs the clips that either picks, as
    EPIC-Kitchens-100 does with its tail classes; any other list picks them for all. Raises
    :class:`~tinkit.errors.UserError` for a column that the answers lack.
    """
    picked: dict[str, NDArray[np.bool_]] = {}
    for column, values in group.values.items():
        found = next((name for name in (f"{column}_class", column) if name in answers.columns), None)
        if found is None:
            raise UserError(
                f"the group {group.name!r} is of the column {column!r}, which the answers lack",
                file=answers.ids.path,
                expected=f"one of: {', '.join(answers.columns)}",
            )
        picked[column] = np.array([value in values for value in answers.columns[found]])
    either = np.logical_or.reduce(list(picked.values()))
    heads = [head for head in challenge.head_names if head in picked]
    return {head: picked[head] if head in picked else either & (not heads) for head in challenge.head_names} | {
        challenge.joint: either
    }
