"""The leaderboard's file and the manifest beside it: both whole, or neither."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tinkit.errors import UserError
from tinkit.files.atomic import check_place
from tinkit.files.group import file_group, recover, sweep, writing_in
from tinkit.files.hashes import sha256_file
from tinkit.submission.check import check_submission
from tinkit.submission.ids import IdList
from tinkit.submission.manifest import MANIFEST, HashedFile, described_by, manifest_of
from tinkit.submission.outside import formulas, odd_name, too_large
from tinkit.submission.plan import Part, SubmissionPlan
from tinkit.submission.writing.containers import Writer, pack
from tinkit.submission.writing.document import write_json, write_text

_WHOLE = 1 << 28  # bytes of a text up to which all of it is read back
_EVERY = 10


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
        notes = _write_file(plan, written)
        _read_back(plan, written, out)
        manifest = manifest_of(plan, out, written, inputs, ids)
        found = [*plan.notes, *notes, *odd_name(out, plan.challenge), *too_large(written, plan.challenge)]
        manifest |= {"notes": [*found, *formulas(plan.names)], "made_from": made}
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


def _read_back(plan: SubmissionPlan, written: Path, out: Path) -> None:
    """Judge the file as any other before it appears as ``out``; raises :class:`~tinkit.errors.UserError` if it fails.

    What the rules say of its outside, its name and its size, is noted, not refused. Of a text of more than
    ``_WHOLE`` bytes, one block in ten is judged: reading it all costs as much as writing it, and `--check` does.
    """
    large = plan.challenge.syntax == "text" and plan.challenge.rows != "long" and written.stat().st_size > _WHOLE
    lines = tuple(range(1, len(plan.clips) + 1))
    listed = IdList(out, "the clips of the submission", tuple(plan.clips), lines)
    one = plan.parts[0].table.info.classes if len(plan.parts) == 1 and not plan.challenge.heads else None
    report = check_submission(
        written, plan.challenge, ids=None if large else listed, classes=one, every=_EVERY if large else 1
    )
    wrong = [problem for problem in report.problems if problem.severity == "error"]
    if found := [problem for problem in wrong if problem.kind not in ("file name", "size")]:
        raise UserError(
            f"what was written fails its own check: {found[0].kind}: {found[0].message}",
            file=out,
            line=found[0].line,
            expected="a file that the challenge's rules take",
            fix="this is a fault of tinkit: nothing was written; please report it",
        )


def _write_file(plan: SubmissionPlan, path: Path) -> list[str]:
    """Write the file itself; returns what must be known of it."""
    challenge, notes = plan.challenge, []
    packed_by = "zip" if challenge.zip else "gz" if challenge.gz else ""

    def text_of(part: Part) -> Writer:
        return lambda handle: notes.extend(write_text(plan, part, handle))

    writers: dict[str, Writer] = {}
    if challenge.syntax == "json":
        writers[challenge.member] = lambda handle: notes.extend(write_json(plan, handle))
    else:
        members = challenge.members
        writers |= {members[part.head]: text_of(part) for part in plan.parts}
    for name, template in challenge.extra.items():
        text = template.format(**plan.answers).encode()
        writers[name] = lambda handle, text=text: cast(None, handle.write(text))  # type: ignore[misc]
    pack(path, writers, packed_by=packed_by)
    return notes
