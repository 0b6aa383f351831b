"""Files that run: read only where no other user could have put or changed them, as ssh does with its keys.

A folder is trusted when it and all its parents belong to the user or root and others may not write to them, but for a
parent of root's with the sticky bit (/tmp), in which nobody renames what is another's. A file is opened once, without
following a link, and what is opened is looked at.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # neither links nor FIFOs


class UntrustedError(Exception):
    """Others could have put or changed what is there; the text says what and why."""


class TrustedFolder:
    """A folder for files that run. Its paths are those behind all links, none of which others can turn elsewhere.

    With ``make`` it is made where it is missing. Raises :class:`UntrustedError`, and OSError where it is missing or
    cannot be made.
    """

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        if make:
            _make(folder)
        for link in (part for part in (folder, *folder.absolute().parents) if part.is_symlink()):
            if not _ours(link.lstat()):
                raise UntrustedError(f"{link} is a link that belongs to user {link.lstat().st_uid}")
        self.path = folder.resolve(strict=True)
        if not self.path.is_dir():
            raise NotADirectoryError(20, os.strerror(20), str(folder))
        _check(self.path, parent=False)
        for parent in self.path.parents:
            _check(parent, parent=True)

    def names(self) -> list[str]:
        """What lies in it."""
        return sorted(os.listdir(self.path))  # noqa: PTH208 - names are wanted

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a plain file. Raises :class:`UntrustedError` for anything else, OSError if it is missing."""
        file = self.path / name
        try:
            descriptor = os.open(file, flags | _OPEN, 0o644)
        except OSError:
            if file.is_symlink():
                raise UntrustedError(f"{file} is a link") from None
            if file.exists() and not file.is_file():
                raise UntrustedError(f"{file} is not a plain file") from None
            raise
        found = os.fstat(descriptor)
        problem = None
        if not stat.S_ISREG(found.st_mode):
            problem = "is not a plain file"
        elif not _ours(found):
            problem = f"belongs to user {found.st_uid}"
        elif _others_write(found):
            problem = "can be written by others"
        elif found.st_nlink > 1:
            problem = "has a second name somewhere"
        if problem is not None:
            os.close(descriptor)
            raise UntrustedError(f"{file} {problem}")
        return descriptor

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises what :meth:`open` does."""
        with os.fdopen(self.open(name), "rb") as handle:
            return handle.read()

    def write(self, name: str, data: bytes) -> None:
        """Put a file there in one rename, which only its owner can write, over whatever has the name."""
        temporary = self.path / f".{secrets.token_hex(8)}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove what has the name: a link itself, not where it leads."""
        with suppress(OSError):
            (self.path / name).unlink()


def _make(folder: Path) -> None:
    """The folder and its missing parents, such that only the user writes to them, whatever the umask."""
    missing = [part for part in (folder, *folder.parents) if not os.path.lexists(part)]
    for part in reversed(missing):
        with suppress(FileExistsError):
            part.mkdir(mode=0o755)


def _check(folder: Path, *, parent: bool) -> None:
    found = folder.stat()
    if not _ours(found):
        raise UntrustedError(f"{folder} belongs to user {found.st_uid}")
    sticky = parent and found.st_mode & stat.S_ISVTX and found.st_uid == 0
    if _others_write(found) and not sticky:
        raise UntrustedError(f"{folder} can be written by others (mode {stat.S_IMODE(found.st_mode):o})")


def _ours(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid in (0, os.geteuid())


def _others_write(found: os.stat_result) -> bool:
    return hasattr(os, "geteuid") and bool(found.st_mode & 0o022)
