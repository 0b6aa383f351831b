"""Compiled kernels on disk: found by what they were made from, checked before use, made by one process at a time.

A file is called ``KEY-CONTENT.SUFFIX``. KEY says what it was made from, CONTENT is the beginning of the SHA-256 of its
bytes. One rename brings it into being; a file that was cut short or overwritten no longer fits its name and is made
again; a good one is never written over, so that nobody's mapped library changes under him.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files import cache_folder, write_atomic

logger = logging.getLogger(__name__)

_PATIENCE = 600.0  # seconds to wait for another process' compiler, before this one compiles beside it
_DIGITS = 16


class KernelError(UserError):
    """Kernels could not be compiled or loaded; ``output`` is all that the compiler said."""

    def __init__(self, problem: str, *, fix: str | None = None, output: str = "") -> None:
        self.output = output
        super().__init__(problem, fix=fix)


@dataclass(frozen=True)
class Kept:
    """A compiled file. ``file`` is None where the cache could not be written; ``made``: by this call."""

    data: bytes
    file: Path | None
    made: bool


def kernel_folder() -> Path:
    """Where compiled kernels are kept: ``kernels`` in :func:`tinkit.files.cache_folder`.

    Raises :class:`KernelError` for a user who has no such folder.
    """
    try:
        return cache_folder() / "kernels"
    except UserError as error:
        raise KernelError(error.problem, fix=error.fix) from error


def digest(*parts: str | bytes) -> str:
    """The beginning of the SHA-256 of ``parts`` and their lengths, as 16 hexadecimal digits: to make a key of."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:_DIGITS]


def find(key: str, suffix: str) -> Kept | None:
    """A whole file made under ``key``, or under a key that continues it after a ``-``; None if there is none."""
    for file in _candidates(key, suffix):
        with suppress(OSError):
            data = file.read_bytes()
            if _is_whole(file, data) and _is_trusted(file):
                return Kept(data, file, made=False)
    return None


def keep(key: str, suffix: str, build: Callable[[], bytes]) -> Kept:
    """The file of ``key`` from the cache, or what ``build`` gives, kept there for those who come later.

    Of processes that want it at once one builds and the others wait; when its ``build`` fails, they fail with it and do
    not try the same in turn. Where the cache cannot be written, that is said once, and every process builds for itself.
    Raises :class:`KernelError` if ``build`` does.
    """
    if (found := find(key, suffix)) is not None:
        return found
    note = kernel_folder() / f"{key}.log"
    before = _stamp(note)
    with _turn(key):
        if (found := find(key, suffix)) is not None:
            return found
        if (after := _stamp(note)) is not None and after != before:
            raise KernelError(note.read_text(errors="replace"))
        try:
            data = build()
        except KernelError as error:
            with suppress(OSError):
                write_atomic(note, str(error))
            raise
        return Kept(data, _store(key, suffix, data), made=True)


@functools.cache
def say_once(message: str) -> None:
    """Warn of ``message``, the first time only, and in one of the processes that a launcher started on this machine."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        logger.warning("%s", message)


def _candidates(key: str, suffix: str) -> list[Path]:
    try:
        return sorted(kernel_folder().glob(f"{key}-*{suffix}"))
    except OSError:
        return []


def _is_whole(file: Path, data: bytes) -> bool:
    return file.stem.rpartition("-")[2] == hashlib.sha256(data).hexdigest()[:_DIGITS]


def _is_trusted(file: Path) -> bool:
    """Whether ``file`` is root's, ours or the cache owner's: in a folder that all may write, others put files too."""
    if not hasattr(os, "geteuid"):
        return True
    return file.stat().st_uid in (0, os.geteuid(), cache_folder().stat().st_uid)


def _stamp(file: Path) -> tuple[int, int] | None:
    """Changes whenever ``file`` is written anew; None where it is not."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextmanager
def _turn(key: str) -> Iterator[None]:
    """Wait for our turn to build ``key``: a lock that the system opens when its holder ends, however that ends.

    Where there is no such lock (a cache that cannot be written, some network file systems), or its holder does not move
    on, go on without: files are renamed into place, so that this costs work and breaks nothing.
    """
    try:
        import fcntl

        kernel_folder().mkdir(parents=True, exist_ok=True)
        handle = (kernel_folder() / f"{key}.lock").open("a")
    except (ImportError, OSError):
        yield
        return
    with handle:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        try:
            yield
        finally:
            with suppress(OSError):  # said aloud: a process forked meanwhile holds the same handle
                fcntl.flock(handle, fcntl.LOCK_UN)


def _store(key: str, suffix: str, data: bytes) -> Path | None:
    """Write ``data`` under its name and remove what is broken under the same key; None where that cannot be done."""
    folder = kernel_folder()
    file = folder / f"{key}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}{suffix}"
    try:
        write_atomic(file, data)
    except OSError as problem:
        say_once(
            f"compiled kernels cannot be kept in {folder} ({problem.strerror}): every process compiles them again;"
            " set TINKIT_CACHE to a folder that can be written"
        )
        return None
    for other in _candidates(key, suffix):
        with suppress(OSError):
            if not _is_whole(other, other.read_bytes()):
                other.unlink()
    with suppress(OSError):
        (folder / f"{key}.log").unlink()
    return file
