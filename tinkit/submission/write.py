"""The leaderboard's file and the manifest beside it: both whole, or neither."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from tinkit.errors import UserError
from tinkit.files.atomic import check_place
from tinkit.files.group import file_group, recover, sweep, writing_in
from tinkit.files.hashes import sha256_file
from tinkit.submission.ids import IdList
from tinkit.submission.lines import write_lines
from tinkit.submission.manifest import MANIFEST, HashedFile, described_by, manifest_of
from tinkit.submission.plan import SubmissionPlan
from tinkit.submission.text import odd_name

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same scores give the same bytes


def write_submission(
    plan: SubmissionPlan, out: Path, *, inputs: dict[str, Path], ids: IdList | None, force: bool = False
) -> dict[str, Any]:
    """Write ``plan`` to ``out`` and ``manifest.json`` beside it; returns the manifest.

    ``inputs`` are the files that went in, by their part (``scores``, ``fusion``, ``challenge``). The manifest of
    another submission in the same folder stands in the way; with ``force`` it becomes ``<its file>.manifest.json``.
    Raises :class:`~tinkit.errors.UserError` when something is in the way, another process writes here or the disk is
    full; what was there stays.
    """
    refuse_place(out, inputs.values())
    with place_for(out):
        hashed = {part: HashedFile(path, sha256_file(path)) for part, path in inputs.items()}
        return write_in_place(plan, out, inputs=hashed, ids=ids, force=force)


@contextmanager
def place_for(out: Path) -> Iterator[None]:
    """Be the only writer of ``out`` and of the manifest beside it; what a killed process left is finished or swept."""
    head = out.with_name(MANIFEST)
    with writing_in(out.parent, out, head):
        recover(head)
        sweep(out)
        yield


def write_in_place(
    plan: SubmissionPlan,
    out: Path,
    *,
    inputs: Mapping[str, HashedFile],
    ids: IdList | None,
    force: bool,
    made: str = "",
) -> dict[str, Any]:
    """As :func:`write_submission`, within :func:`place_for`; ``made`` is noted as what the submission was made from."""
    head = out.with_name(MANIFEST)
    others = [*(one.path for one in inputs.values()), *([] if ids is None else [ids.path])]
    other = refuse_overwriting(out, others, force=force)
    with file_group(head, out) as group:
        written = group.place(out.name)
        with _opened(written, plan.challenge.member if plan.challenge.zip else None) as handle:
            notes = write_lines(plan, handle)
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
            f"belongs to another submission, {described.file}" if described else "is not the manifest of a submission",
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
