"""The ledger: what was handed in when, made of what, with which estimate, and what the leaderboard said.

A csv that people open, edit and sort: further columns, and the order of lines, are theirs and stay. It is written
whole, by one process at a time, so that neither two processes nor a full disk lose a line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinkit.errors import UserError
from tinkit.files.atomic import check_place, write_atomic
from tinkit.files.cells import plain_cell
from tinkit.files.group import sweep, writing_in
from tinkit.files.hashes import sha256_file
from tinkit.files.locks import in_turn
from tinkit.files.system_errors import write_errors
from tinkit.files.text import read_text
from tinkit.fusion.record import FusionRecord
from tinkit.metrics import Task, challenge_metric
from tinkit.scores import ScoreInfo

COLUMNS = (
    "time", "challenge", "file", "clips", "made_of", "metric", "estimate", "note", "answer", "answer_time",
    "sha256",
)  # fmt: skip

Line = dict[str, str]


def read_ledger(path: Path) -> list[Line]:
    """The lines of the ledger, each by the names of its columns; none where there is no file.

    Raises :class:`~tinkit.errors.UserError` for a file that is not a ledger, such as one that a spreadsheet has saved
    with other delimiters.
    """
    return [] if not path.exists() else _parse(path)[1]


def enter(path: Path, line: Line) -> None:
    """Add ``line`` to the ledger, unless the same file, by its SHA-256 and name, is there already.

    Raises :class:`~tinkit.errors.UserError` where the ledger cannot be read or written; it is as it was then.
    """
    with _turn(path):
        names, lines = _parse(path) if path.exists() else (list(COLUMNS), [])
        if not any(_same(line, known) for known in lines):
            _write(path, names, [*lines, {name: plain_cell(line.get(name, "")) for name in names}])


def enter_answer(path: Path, file: Path, answer: str, note: str | None = None) -> Line:
    """Note what the leaderboard said of ``file``; returns its line, the newest where there are several.

    The file is known by its SHA-256. Raises :class:`~tinkit.errors.UserError` where no line is about it.
    """
    digest = sha256_file(file)
    with _turn(path):
        names, lines = _parse(path) if path.exists() else (list(COLUMNS), [])
        found = next((line for line in reversed(lines) if line["sha256"] == digest), None)
        if found is None:
            known = ", ".join(dict.fromkeys(line["file"] for line in lines)) or "none"
            raise UserError(
                f"the ledger {path} has no line about this file, by its SHA-256",
                file=file,
                expected=f"one of the files it lists: {known}",
                fix="name the file as it was handed in, or its ledger with --ledger",
            )
        found["answer"], found["answer_time"] = plain_cell(answer), _now()
        if note is not None:
            found["note"] = plain_cell(note)
        _write(path, names, lines)
    return found


def line_of(manifest: dict[str, Any], out: Path, made: str, expected: tuple[str, str]) -> Line:
    """The line about a submission that was written to ``out``.

    From its manifest, what it was ``made`` of, and the metric and value ``expected``.
    """
    return {
        "time": manifest["time"],
        "challenge": manifest["challenge"]["title"],
        "file": str(out),
        "clips": str(manifest["clips"]),
        "made_of": made,
        "metric": expected[0],
        "estimate": expected[1],
        "sha256": manifest["sha256"],
    }


def made_of(infos: Sequence[ScoreInfo]) -> str:
    """The runs and fusions that scores are of, and in brackets the members of a fusion."""
    texts = []
    for info in infos:
        members = [name.removeprefix("member:") for name in info.hashes if name.startswith("member:")]
        inner = f" ({' + '.join(members)})" if members else ""
        texts.append(f"{info.run or info.dataset or 'scores'} {info.split}{inner}")
    return "; ".join(texts)


def estimate_of(fusions: Sequence[FusionRecord], task: Task, given: str | None) -> tuple[str, str]:
    """The metric and the value that are expected: as ``given``, or what the only fusion's record expects.

    Beside the value of what was chosen or fitted stands what it is above the equal mean, with its 95% interval.
    """
    if given is not None:
        return "", given
    found = fusions[0].expected(challenge_metric(task)) if len(fusions) == 1 else None
    if found is None:
        return "", ""
    metric, value, above = found
    if above is None or above.low == above.high:  # the equal mean itself
        return metric, f"{value:.4f}"
    return metric, f"{value:.4f} ({above.value:+.4f} over the equal mean, 95%: {above.low:+.4f} to {above.high:+.4f})"


def refuse_ledger(path: Path, used: Sequence[Path]) -> None:
    """Raise :class:`~tinkit.errors.UserError` where ``path`` cannot be the ledger of a submission made of ``used``."""
    if path.resolve() in {other.resolve() for other in used}:
        raise UserError("is a file of the submission itself", file=path, fix="name another --ledger")
    check_place(path)
    read_ledger(path)


def _turn(path: Path) -> AbstractContextManager[None]:
    """Be the only writer of the ledger, after whoever writes it now."""
    check_place(path)
    return in_turn(lambda: writing_in(path.parent, path))


def _parse(path: Path) -> tuple[list[str], list[Line]]:
    """The names of the columns and the lines."""
    expected = f"a csv whose header has the columns {', '.join(COLUMNS)}"
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows += [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"not a ledger: {error}", file=path, line=reader.line_num, expected=expected) from error
    names = rows[0][1] if rows else []
    if missing := [name for name in COLUMNS if names.count(name) != 1]:
        raise UserError(
            f"not a ledger: the columns {', '.join(missing)} are not there once",
            file=path,
            line=1,
            expected=expected,
            fix="name another --ledger, or save it as csv with commas again",
        )
    for number, row in rows[1:]:
        if len(row) != len(names):
            raise UserError(
                f"{len(row)} cells, and the header has {len(names)}", file=path, line=number, expected=expected
            )
    return names, [dict(zip(names, row, strict=True)) for _, row in rows[1:]]


def _write(path: Path, names: Sequence[str], lines: Sequence[Line]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    # What was read is written as it is: it may be a person's own.
    writer.writerows([line[name] for name in names] for line in lines)
    with write_errors(path, "name another --ledger"):
        sweep(path)
        write_atomic(path, text.getvalue())


def _same(line: Line, known: Line) -> bool:
    return known["sha256"] == line["sha256"] and known["file"] == plain_cell(line["file"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
