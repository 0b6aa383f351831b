"""The leaderboard's file and the manifest beside it: both whole, or neither."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files import atomic_path, sha256_file
from tinkit.submission.ids import IdList
from tinkit.submission.plan import Plan, written_values
from tinkit.submission.text import field_text
from tinkit.submission.values import rows_made_equal

MANIFEST = "manifest.json"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same scores give the same bytes
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_submission(
    plan: Plan, out: Path, *, inputs: dict[str, Path], ids: IdList | None, force: bool = False
) -> dict[str, Any]:
    """Write ``plan`` to ``out`` and ``manifest.json`` beside it; returns the manifest.

    ``inputs`` are the files that went in, by their part (``scores``, ``fusion``, ``challenge``). The manifest of
    another submission in the same folder stands in the way; with ``force`` it becomes ``<its file>.manifest.json``.
    Raises :class:`~tinkit.errors.UserError` when something is in the way or the disk is full; what was there stays.
    """
    manifest_path = out.with_name(MANIFEST)
    others = [*inputs.values(), *([] if ids is None else [ids.path])]
    other = refuse_overwriting(out, others, force=force)
    try:
        with atomic_path(out) as temporary:
            equal = _write_file(plan, temporary)
            _flush(temporary)  # here, so that a full disk is met before the manifest is renamed
            manifest = _manifest(plan, out, temporary, inputs, ids, equal)
            with atomic_path(manifest_path) as beside:
                text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
                # A half character, from the name of a folder, becomes the escape that JSON has for it.
                beside.write_text(text, encoding="utf-8", errors="backslashreplace")
                _flush(beside)
                if other is not None:
                    manifest_path.replace(other)
    except OSError as error:
        raise UserError(
            "the disk is full" if error.errno in _FULL else f"cannot be written: {error.strerror or error}",
            file=out,
            fix="make room or name another --out; nothing that was there has been changed",
        ) from error
    return manifest


def refuse_overwriting(out: Path, inputs: list[Path], *, force: bool) -> Path | None:
    """Raise unless ``out`` and its manifest may be written; returns where another submission's manifest must go."""
    manifest_path = out.with_name(MANIFEST)
    if out.is_dir():
        raise UserError("is a folder", file=out, expected="the name of a file")
    if out.name == MANIFEST or out.resolve() in {path.resolve() for path in inputs}:
        raise UserError("is a file that the submission needs itself", file=out, fix="name another --out")
    if out.exists() and not force:
        raise UserError("is there already", file=out, fix="name another --out, or say --force to replace it")
    if not manifest_path.exists():
        return None
    described, _ = _described_by(manifest_path)
    if described == out.name:
        if not force:
            raise UserError("is there already", file=manifest_path, fix="name another folder, or say --force")
        return None
    if not force:
        raise UserError(
            f"belongs to another submission, {described}" if described else "is no manifest of a submission",
            file=manifest_path,
            fix="give each submission a folder of its own, or say --force, which renames this manifest",
        )
    return _free_name(out.with_name(f"{described or 'other'}.{MANIFEST}"))


def differs_from_manifest(path: Path) -> bool:
    """Whether the manifest beside ``path`` describes a file of this name with other content."""
    name, sha256 = _described_by(path.with_name(MANIFEST))
    return name == path.name and sha256 != sha256_file(path)


def _described_by(manifest_path: Path) -> tuple[str | None, str | None]:
    """The file that a manifest describes and its hash; None where it is no manifest of ours."""
    try:
        if manifest_path.stat().st_size > 1 << 26:
            return None, None
        content = json.loads(manifest_path.read_bytes())
        name, sha256 = content["file"], content.get("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None
    if not (isinstance(name, str) and name == Path(name).name and name):
        return None, None
    return name, sha256 if isinstance(sha256, str) else None


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


def _write_file(plan: Plan, path: Path) -> int:
    """Write all rows; returns in how many of them scores that differ became equal numbers."""
    challenge = plan.challenge
    width = len(plan.table.info.classes) if challenge.rows == "scores" else challenge.top
    rows = _score_lines(plan, width) if challenge.rows == "scores" else _ranked_lines(plan)
    equal = 0
    with _opened(path, challenge.member if challenge.zip else None) as handle:
        if challenge.header:
            names = (field_text(name, challenge.delimiter, challenge.quoting) for name in challenge.header_row(width))
            handle.write((challenge.delimiter.join(names) + "\n").encode())
        for text, count in rows:
            handle.write(text.encode())
            equal += count
    return equal


def _score_lines(plan: Plan, width: int) -> Iterator[tuple[str, int]]:
    """The lines of a file of scores, a chunk at a time, with the number of those in which scores became equal.

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
        lines = [name + template % tuple(row) for name, row in zip(plan.names[part], block.tolist(), strict=True)]
        yield "".join(lines), equal


def _ranked_lines(plan: Plan) -> Iterator[tuple[str, int]]:
    """The lines of a file of labels by falling score, none of which makes scores equal.

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
        lines = [
            challenge.delimiter.join((name, *(texts[index] for index in row))) + "\n"
            for name, row in zip(names, best, strict=True)
        ]
        yield "".join(lines), 0


def _manifest(
    plan: Plan, out: Path, written: Path, inputs: dict[str, Path], ids: IdList | None, equal: int
) -> dict[str, Any]:
    """All that went in and came out, with hashes; ``written`` is ``out`` under its temporary name.

    ``equal`` rows have scores that differ and are equal in the file.
    """
    info = plan.table.info
    notes = list(plan.notes)
    if equal:
        notes.append(
            f"in {equal} of {len(plan.names)} rows, scores that differ became equal in the written {plan.kind} "
            f"(precision = {plan.challenge.precision}): the order of those classes is lost"
        )
    hashed = {part: {"path": str(path), "sha256": sha256_file(path)} for part, path in inputs.items()}
    checked: dict[str, Any] = {"checked": False, "note": "the ids are the score file's own"}
    if ids is not None:
        checked = {"checked": True, "path": str(ids.path), "form": ids.form, "sha256": ids.sha256()}
    return {
        "version": 1,
        "file": out.name,
        "sha256": sha256_file(written),
        "bytes": written.stat().st_size,
        "challenge": plan.challenge.model_dump(mode="json"),
        "inputs": hashed,
        "ids": checked,
        "clips": len(plan.names),
        "classes": len(info.classes),
        "filled": {"count": len(plan.filled), "ids": list(plan.filled)},
        "scores": {
            "kind": info.kind,
            "task": info.task,
            "dataset": info.dataset,
            "dataset_version": info.dataset_version,
            "split": info.split,
            "views": info.views,
            "weights": info.weights,
            "hashes": dict(info.hashes),
        },
        "written_kind": plan.kind,
        "notes": notes,
        "tinkit": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
