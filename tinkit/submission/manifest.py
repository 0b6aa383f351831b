"""A submission's ``manifest.json``: all that went in and came out, with hashes; and what a given one describes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinkit import __version__
from tinkit.errors import UserError
from tinkit.files.group import refuse_unfinished
from tinkit.files.hashes import sha256_file
from tinkit.files.json import parse_json
from tinkit.files.reading import read_bounded
from tinkit.files.text import is_text
from tinkit.submission.ids import IdList
from tinkit.submission.plan import SubmissionPlan
from tinkit.submission.spec import Challenge

MANIFEST = "manifest.json"
_MAX_BYTES = 1 << 26
_MAX_NAME = 200  # bytes, so that the name of a manifest made from it fits


@dataclass(frozen=True)
class HashedFile:
    """A file that went into a submission, and the SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Described:
    """What a manifest says: the file, its SHA-256 and what it was made from (``""`` where an older tinkit wrote it)."""

    file: str
    sha256: str | None
    made_from: str


def made_from(
    challenge: Challenge, inputs: Mapping[str, HashedFile], ids: IdList | None, options: Mapping[str, str | int | None]
) -> str:
    """The hash of all that a submission depends on: its inputs by content, the rules and the options."""
    facts = [
        __version__,
        challenge.model_dump(mode="json"),
        {part: one.sha256 for part, one in inputs.items()},
        None if ids is None else [ids.sha256(), ids.form],
        dict(options),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def manifest_of(
    plan: SubmissionPlan, out: Path, written: Path, inputs: Mapping[str, HashedFile], ids: IdList | None
) -> dict[str, Any]:
    """The manifest of ``out``, which is still called ``written``; what is only known after writing is left out."""
    infos = {part.head: part.table.info for part in plan.parts}
    checked: dict[str, Any] = {"checked": False, "note": "the ids are the score file's own"}
    if ids is not None:
        checked = {"checked": True, "path": str(ids.path), "form": ids.form, "sha256": ids.sha256()}
    names = ("kind", "task", "dataset", "dataset_version", "split", "views", "weights", "trial", "hashes")
    return {
        "version": 1,
        "file": out.name,
        "sha256": sha256_file(written),
        "bytes": written.stat().st_size,
        "challenge": plan.challenge.model_dump(mode="json"),
        "inputs": {part: {"path": str(one.path), "sha256": one.sha256} for part, one in inputs.items()},
        "ids": checked,
        "clips": len(plan.names),
        "classes": _by_head({head: len(info.classes) for head, info in infos.items()}),
        "filled": {"count": len(plan.filled), "ids": list(plan.filled)},
        "scores": _by_head({head: {name: asdict(info)[name] for name in names} for head, info in infos.items()}),
        "written_kind": _by_head({part.head: part.kind for part in plan.parts}),
        "answers": plan.answers,
        "tinkit": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _by_head(values: dict[str, Any]) -> Any:
    """The only value, or of several heads each one's."""
    return values[""] if list(values) == [""] else values


def described_by(manifest: Path) -> Described | None:
    """What the file ``manifest`` describes; None where it is not a manifest of ours.

    Raises :class:`~tinkit.errors.UserError` where the submission is unfinished.
    """
    refuse_unfinished(manifest)
    content = _content(manifest)
    name, sha256, made = (content.get(key) for key in ("file", "sha256", "made_from"))
    if not (isinstance(name, str) and name and name == Path(name).name and is_text(name) and "\0" not in name):
        return None
    if len(os.fsencode(name)) > _MAX_NAME:
        return None
    return Described(name, sha256 if isinstance(sha256, str) else None, made if isinstance(made, str) else "")


def finished(out: Path, made: str) -> dict[str, Any] | None:
    """The manifest beside ``out`` if both are there, whole, and made from just this; else None."""
    described = described_by(out.with_name(MANIFEST))
    if described is None or described.file != out.name or described.made_from != made:
        return None
    if not out.is_file() or sha256_file(out) != described.sha256:
        return None
    return _content(out.with_name(MANIFEST))


def differs_from_manifest(path: Path) -> bool:
    """Whether the manifest beside ``path`` describes a file of this name with other content."""
    described = described_by(path.with_name(MANIFEST))
    return described is not None and described.file == path.name and described.sha256 != sha256_file(path)


def _content(manifest: Path) -> dict[str, Any]:
    """The JSON object in a file; empty for anything else."""
    if not manifest.is_file() or manifest.stat().st_size > _MAX_BYTES:
        return {}
    data = read_bounded(manifest, _MAX_BYTES, "a manifest")  # what cannot be read may be ours all the same: an error
    try:
        content = parse_json(data, "a manifest", manifest, file_names=True)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}
