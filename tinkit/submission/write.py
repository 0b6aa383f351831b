"""The leaderboard's file and the manifest beside it: both whole, or neither."""

from __future__ import annotations

import json
import operator
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.files.atomic import check_place
from tinkit.files.group import file_group, recover, sweep, writing_in
from tinkit.files.hashes import sha256_file
from tinkit.submission.ids import IdList
from tinkit.submission.manifest import MANIFEST, Input, described_by, manifest_of
from tinkit.submission.plan import Plan, written_values
from tinkit.submission.text import field_text, odd_name
from tinkit.submission.values import rows_made_equal

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same scores give the same bytes


def write_submission(
    plan: Plan, out: Path, *, inputs: dict[str, Path], ids: IdList | None, force: bool = False
) -> dict[str, Any]:
    """Write ``plan`` to ``out`` and ``manifest.json`` beside it; returns the manifest.

    ``inputs`` are the files that went in, by their part (``scores``, ``fusion``, ``challenge``). The manifest of
    another submission in the same folder stands in the way; with ``force`` it becomes ``<its file>.manifest.json``.
    Raises :class:`~tinkit.errors.UserError` when something is in the way, another process writes here or the disk is
    full; what was there stays.
    """
    refuse_place(out, inputs.values())
    with place_for(out):
        hashed = {part: Input(path, sha256_file(path)) for part, path in inputs.items()}
        return write_in_place(plan, out, inputs=hashed, ids=ids, force=force)


@contextmanager
def place_for(out: Path) -> Iterator[None]:
    """Be the one writer of ``out`` and of the manifest beside it; what a killed process left is finished or swept."""
    head = out.with_name(MANIFEST)
    with writing_in(out.parent, out, head):
        recover(head)
        sweep(out)
        yield


def write_in_place(
    plan: Plan, out: Path, *, inputs: Mapping[str, Input], ids: IdList | None, force: bool, made: str = ""
) -> dict[str, Any]:
    """As :func:`write_submission`, within :func:`place_for`; ``made`` is noted as what the submission was made from."""
    head = out.with_name(MANIFEST)
    others = [*(one.path for one in inputs.values()), *([] if ids is None else [ids.path])]
    other = refuse_overwriting(out, others, force=force)
    with file_group(head, out) as group:
        written = group.place(out.name)
        notes = _write_file(plan, written)
        manifest = manifest_of(plan, out, written, inputs, ids)
        manifest |= {"notes": [*plan.notes, *notes, *odd_name(out, plan.challenge)], "made_from": made}
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        # A half character, from the name of a folder, becomes the escape that JSON has for it.
        group.place(MANIFEST).write_text(text, encoding="utf-8", errors="backslashreplace")
        if other is not None:
            shutil.copy2(head, group.place(other.name))
    return manifest


def refuse_place(out: Path, inputs: Iterable[Path]) -> None:
    """Raise :class:`~tinkit.errors.UserError` where no submission may be written, be it with ``--force``."""
    for path in (out, out.with_name(MANIFEST)):
        check_place(path)
    if out.name == MANIFEST or out.resolve() in {path.resolve() for path in inputs}:
        raise UserError("is a file that the submission needs itself", file=out, fix="name another --out")


def refuse_overwriting(out: Path, inputs: list[Path], *, force: bool) -> Path | None:
    """Raise unless ``out`` and its manifest may be written; returns where another submission's manifest must go."""
    manifest_path = out.with_name(MANIFEST)
    refuse_place(out, inputs)
    if out.exists() and not force:
        raise UserError("is there already", file=out, fix="name another --out, or say --force to replace it")
    if not manifest_path.exists():
        return None
    described = described_by(manifest_path)
    if described and described.file == out.name:
        if not force:
            raise UserError("is there already", file=manifest_path, fix="name another folder, or say --force")
        return None
    if not force:
        raise UserError(
            f"belongs to another submission, {described.file}" if described else "is no manifest of a submission",
            file=manifest_path,
            fix="give each submission a folder of its own, or say --force, which renames this manifest",
        )
    return _free_name(out.with_name(f"{described.file if described else 'other'}.{MANIFEST}"))


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[BinaryIO]:
    """``path`` to write to, or ``member`` of a new archive there."""
    if member is None:
        with path.open("wb", buffering=1 << 20) as handle:
            yield handle
        return
    info = zipfile.ZipInfo(member, _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "w") as archive, archive.open(info, "w", force_zip64=True) as handle:
        yield cast(BinaryIO, handle)


def _write_file(plan: Plan, path: Path) -> list[str]:
    """Write all rows; returns what must be known of them."""
    challenge = plan.challenge
    width = len(plan.table.info.classes) if challenge.rows == "scores" else challenge.top
    rows = _score_lines(plan, width) if challenge.rows == "scores" else _ranked_lines(plan)
    equal, total, first, alike = 0, 0, None, True
    with _opened(path, challenge.member if challenge.zip else None) as handle:
        if challenge.header:
            names = (field_text(name, challenge.delimiter, challenge.quoting) for name in challenge.header_row(width))
            handle.write((challenge.delimiter.join(names) + "\n").encode())
        for names_of_chunk, tails, count in rows:
            handle.write("".join(map(operator.add, names_of_chunk, tails)).encode())
            equal += count
            total += len(tails)
            if alike:
                first = tails[0] if first is None else first
                alike = all(tail == first for tail in tails)
    notes = [f"all {total} rows are alike: the scores say the same of every clip"] if alike and total > 1 else []
    if equal:
        notes.append(
            f"in {equal} of {total} rows, scores that differ became equal in the written {plan.kind} "
            f"(precision = {challenge.precision}): the order of those classes is lost"
        )
    return notes


def _score_lines(plan: Plan, width: int) -> Iterator[tuple[list[str], list[str], int]]:
    """The names and the rest of the lines of a file of scores, a chunk at a time, and in how many scores became equal.

    One format for a whole row is the fastest there is here.
    """
    delimiter = plan.challenge.delimiter
    precision = plan.challenge.precision
    template = delimiter + delimiter.join([f"%.{precision}g"] * width) + "\n"
    valid = np.asarray(plan.table.valid)
    start = 0
    for block in written_values(plan):
        part = slice(start, start + len(block))
        start += len(block)
        rows: NDArray[np.int64] = plan.rows[part]
        scored = valid[rows]
        equal = rows_made_equal(plan.table.scores[rows[scored]], block[scored], precision)
        yield plan.names[part], [template % tuple(row) for row in block.tolist()], equal


def _ranked_lines(plan: Plan) -> Iterator[tuple[list[str], list[str], int]]:
    """The names and the rest of the lines of a file of labels by falling score, none of which makes scores equal.

    Equal scores rank by class index, the lower first.
    """
    challenge = plan.challenge
    if challenge.labels == "text":
        texts = [field_text(name, challenge.delimiter, challenge.quoting) for name in plan.table.info.classes]
    else:
        texts = [str(index + challenge.first_index) for index in range(len(plan.table.info.classes))]
    start = 0
    for block in written_values(plan):
        names = plan.names[start : start + len(block)]
        start += len(block)
        best = np.argsort(-block, axis=1, kind="stable")[:, : challenge.top].tolist()
        yield names, [challenge.delimiter.join(("", *(texts[index] for index in row))) + "\n" for row in best], 0
