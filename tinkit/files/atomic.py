"""Files written whole: beside their place first, flushed, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.hashes import sha256_text

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``; on a clean exit it is flushed to disk and renamed over ``path``.

    If the block raises, ``path`` keeps what it held and the temporary file is removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{_temporary_stem(target)}{secrets.token_hex(4)}.tmp{target.suffix}")
    placed = False
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask says; some writers would keep the file to themselves
        yield temporary
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(target)
        placed = True
        flush_folder(target.parent)
    finally:
        if not placed:
            with suppress(OSError):  # what went wrong before is what matters
                temporary.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless ``path`` is free or an ordinary file, which may be replaced.

    A link is refused too: replacing it would not do what is expected of it, and it may lead to a device.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # it is not there, or its folder cannot be looked into, which writing will tell
        return
    if not stat.S_ISREG(mode):
        raise UserError(f"is {_KINDS.get(stat.S_IFMT(mode), 'a device')}", file=path, expected="the name of a file")


def temporaries(target: Path) -> list[Path]:
    """The temporary files that :func:`atomic_path` has made for ``target``, be their writers alive or dead."""
    name = re.compile(rf"{re.escape(_temporary_stem(target))}[0-9a-f]{{8}}\.tmp{re.escape(target.suffix)}")
    return [entry for entry in target.parent.iterdir() if name.fullmatch(entry.name)]


def _temporary_stem(target: Path) -> str:
    """How the names of temporary files of ``target``, and of no other, begin; the suffix stays, since some writers
    choose by it."""
    stem = target.stem
    if len(os.fsencode(stem)) > 100:  # shorter than NAME_MAX
        stem = f"{stem[:40]}-{sha256_text(stem)[:16]}"
    return f".{stem}."


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def put_aside(path: Path) -> Path:
    """Rename a file that cannot be read, so that nothing is lost; returns its new name."""
    number = 1
    while (target := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(target)
    return target


def flush(path: Path) -> None:
    """Wait until a file's bytes are on disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def flush_folder(folder: Path) -> None:
    """Make a rename durable; folders cannot be flushed on every file system."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
