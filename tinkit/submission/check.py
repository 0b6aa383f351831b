"""Judge a submission file, whoever wrote it, line by line against the challenge's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from tinkit.errors import UserError
from tinkit.submission.findings import GIVE_UP, Findings, Problem, TooMuchError
from tinkit.submission.ids import IdList
from tinkit.submission.manifest import MANIFEST, differs_from_manifest
from tinkit.submission.outside import odd_name, too_large
from tinkit.submission.reading.judge_clips import ClipCheck
from tinkit.submission.reading.judge_json import JsonCheck
from tinkit.submission.reading.judge_names import NameCheck, rule_for
from tinkit.submission.reading.judge_rows import RowCheck
from tinkit.submission.reading.parts import open_part, read_blocks
from tinkit.submission.reading.rows import is_header, split_block
from tinkit.submission.reading.stream import Clip, read_document
from tinkit.submission.spec import Challenge
from tinkit.submission.text import is_zip, packed_by, require_file, zip_members

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
    every: int = 1,
) -> CheckReport:
    """Judge ``path``; at most ``keep`` problems of each kind are kept, all are counted.

    ``every``: of a text, judge the first two blocks of lines, then every n-th; not with ``ids``.

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
    unknown = any(challenge.classes_of(head) is None for head in challenge.head_names)
    if challenge.rows != "scores" and (classes is None if challenge.labels == "text" else count is None and unknown):
        notes.append("no classes were given (--categories): whether the labels exist was not checked")
    rule = rule_for(challenge, ids, _sample(path, challenge) if ids is not None and ids.folder else ())
    if rule != "id":
        notes.append("the names were compared with the folder's by " + ("base name" if rule == "basename" else "stem"))
    judges = {
        head: RowCheck(challenge, classes, challenge.classes_of(head) if challenge.heads else count, findings)
        for head in challenge.head_names
    }
    # Of heads in files of their own, each names all the clips.
    names = {head: NameCheck(challenge, ids, rule, findings) for head in challenge.head_names}
    try:
        _check_outside(path, challenge, findings)
        if challenge.syntax == "json":
            _check_document(path, challenge, next(iter(names.values())), judges, findings)
        else:
            for head, rows in judges.items():
                _check_text(path, head, ClipCheck(challenge, names[head], rows, findings, every))
        if not all(rows.rows for rows in judges.values()):
            findings.add(None, "empty", "the file has no rows")
    except TooMuchError:
        notes.append(f"reading stopped at {GIVE_UP} errors")
    except UserError as error:
        with suppress(TooMuchError):
            findings.add(error.line, "unreadable", error.problem)
        notes.append("reading stopped there")
    problems = tuple(sorted(findings.problems, key=lambda problem: (problem.line is None, problem.line or 0)))
    rows_read = max(rows.rows for rows in judges.values())
    counts = dict(findings.counts)
    return CheckReport(path, rows_read, problems, counts, findings.errors, findings.warnings, tuple(notes))


def known_classes(challenge: Challenge, classes: Sequence[str] | None, num_classes: int | None) -> int | None:
    """The number of classes that is known before reading. Raises where two sources of it differ."""
    if challenge.heads and (classes is not None or num_classes is not None):
        raise UserError(
            "the classes of several heads were given as those of one",
            fix="leave --categories and --num-classes out: the challenge file says how many each head has",
        )
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


def _check_outside(path: Path, challenge: Challenge, findings: Findings) -> None:
    zipped = is_zip(path)
    kinds = {True: "a zip archive", False: "packed by gzip" if packed_by(path) == "gzip" else "plain"}
    wanted = "a zip archive" if challenge.zip else "packed by gzip" if challenge.gz else "plain"
    if kinds[zipped] != wanted and (wanted != "plain" or zipped):
        kinds_in_words = {"plain": "plain text"}
        got, want = (kinds_in_words.get(kind, kind) for kind in (kinds[zipped], wanted))
        findings.add(None, "container", f"the file is {got}, the challenge wants {want}")
    if zipped and challenge.zip:
        names = [member.filename for member in zip_members(path)]
        members = list(dict.fromkeys([*challenge.members.values(), *challenge.extra]))
        if sorted(names) != sorted(members):
            shown = ", ".join(names[:5]) or "nothing"
            alone = f"{members[0]} alone" if len(members) == 1 else ", ".join(members)
            findings.add(None, "container", f"the archive holds {shown}; the challenge wants {alone}")
    for message in too_large(path, challenge):
        findings.add(None, "size", message)
    for message in odd_name(path, challenge) if not findings.errors else ():
        findings.add(None, "file name", message, "error" if challenge.file else "warning")
    if differs_from_manifest(path):
        findings.add(None, "manifest", f"differs from what {MANIFEST} beside it describes", "warning")


def _sample(path: Path, challenge: Challenge) -> list[str]:
    """Some names of the file; what cannot be read is reported when it is read whole."""
    sample: list[str] = []
    with suppress(UserError), open_part(path, challenge, challenge.head_names[0]) as handle:
        if challenge.syntax == "json":
            shape, whole = challenge.shape, challenge.rows == "long"
            clips = (found for found in read_document(handle, path, shape, whole=whole) if isinstance(found, Clip))
            sample += [clip.name for clip in islice(clips, _SAMPLE) if isinstance(clip.name, str)]
        else:
            rows = (row for block in read_blocks(handle) for row in split_block(block, path, challenge))
            sample += [fields[0] for _, fields in islice(rows, _SAMPLE) if isinstance(fields, list)]
    return sample


def _check_document(
    path: Path, challenge: Challenge, names: NameCheck, judges: Mapping[str, RowCheck], findings: Findings
) -> None:
    document = JsonCheck(challenge, names, judges, findings)
    clips = ClipCheck(challenge, names, judges[""], findings) if challenge.rows == "long" else None
    with open_part(path, challenge) as handle:
        for found in read_document(handle, path, challenge.shape, whole=clips is not None):
            if clips is not None and isinstance(found, Clip):
                clips.check_object(found)
            else:
                document.check(found)
    if clips is not None:
        clips.finish()
    document.finish()
    names.finish()
    for rows in judges.values():
        rows.finish()


def _check_text(path: Path, head: str, clips: ClipCheck) -> None:
    with open_part(path, clips.challenge, head) as handle:
        for number, fields in _rows(handle, path, clips):
            clips.check_fields(number, fields)
    clips.finish()
    clips.names.finish()
    clips.rows.finish()


def _rows(handle: BinaryIO, path: Path, clips: ClipCheck) -> Iterator[tuple[int, list[str]]]:
    """The rows that must be judged one by one, after the header.

    Blocks that are right as they are go to ``clips`` whole. The header is judged here, as blank lines, wrong quotes
    and a last line cut short are.
    """
    challenge, findings = clips.challenge, clips.findings
    first, ended, lines = True, True, 0
    for place, block in enumerate(read_blocks(handle)):
        ended, lines = block.data.endswith(b"\n"), block.first
        skipped = place > 1 and place % clips.every
        if skipped or (not first and clips.check_block(block)):
            continue
        for number, fields in split_block(block, path, challenge):
            if isinstance(fields, str):
                findings.add(number, "quotes", f"the quotes do not match: {fields}")
                continue
            if fields == [""]:
                findings.add(number, "blank line", "a blank line")
                continue
            lines = number
            if first:
                first = False
                if is_header(fields, challenge):
                    clips.rows.check_header(number, fields)
                    continue
                if challenge.header:
                    findings.add(number, "header", f"the header is missing: {challenge.id_column!r} and so on")
            yield number, fields
    if not ended:
        findings.add(lines, "line end", "the last line has no end: was the file cut short?", "warning")
