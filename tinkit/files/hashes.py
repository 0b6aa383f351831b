"""SHA-256 of files and texts."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def is_file_of(path: Path, sha256: str) -> bool:
    """Whether ``path`` is a file of this SHA-256."""
    return path.is_file() and sha256_file(path) == sha256


def sha256_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, as hexadecimal digits; file names that are not valid text may be in it."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
