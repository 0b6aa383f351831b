"""What is recorded beside a released checkpoint: where it came from, and the SHA-256 that it is compared with."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.files.json import read_json
from tinkit.files.system_errors import write_errors

_WHAT = "where a released checkpoint came from"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Origin:
    """``source`` gave the file at ``when`` (local time, with its zone); ``address`` is its owners'. ``verified`` says
    by what it was verified then."""

    name: str
    code_base: str
    recipe: str
    licence: str
    address: str
    source: str
    when: str
    bytes: int
    sha256: str
    verified: str
    tinkit: str


def origin_path(file: Path) -> Path:
    """Where the record of ``file`` lies."""
    return file.with_name(f"{file.name}.origin.json")


def recorded_sha256(file: Path) -> tuple[str, str] | None:
    """The SHA-256 of ``file`` that was recorded, and when; None without a record.

    Raises :class:`~tinkit.errors.UserError` for a record that cannot be read: without it nobody would know that a file
    has changed.
    """
    path = origin_path(file)
    if not path.exists():
        return None
    content = read_json(path, _WHAT, limit=1 << 16)
    found = content.get("sha256") if isinstance(content, dict) else None
    if not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise UserError(
            "does not hold a SHA-256", file=path, expected=_WHAT, fix="remove it, and what comes next is recorded anew"
        )
    return found, str(content.get("when", ""))[:40]


def write_origin(file: Path, origin: Origin) -> None:
    """Record where ``file`` came from."""
    with write_errors(origin_path(file)):
        write_atomic(origin_path(file), json.dumps(asdict(origin), indent=2) + "\n")
