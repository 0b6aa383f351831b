"""Compiled kernels on disk: found by what they were made from, checked before use, made by one process at a time.

A file is called ``KEY-CONTENT.SUFFIX``. KEY says what it was made from, CONTENT is the beginning of the SHA-256 of its
bytes. One rename brings it into being; a file that was cut short or overwritten no longer fits its name and is made
again; a good one is never written over. What is there runs, so it is taken only from where no other user could have put
it (:mod:`tinkit.native.trusted`); else that is said, and every process compiles for itself.
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
from tinkit.files.cache import cache_folder
from tinkit.native.trusted import TrustedFolder, UntrustedError

logger = logging.getLogger(__name__)

_PATIENCE = 600.0  # seconds to wait for another process' compiler, before this one compiles beside it
_NOTICE = 5.0  # seconds after which it is said that it is waited for
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
    """Where compiled kernels are kept: ``kernels`` in :func:`tinkit.files.cache.cache_folder`.

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
    try:
        folder = TrustedFolder(kernel_folder())
        names = _names(folder, key, suffix)
    except UntrustedError as problem:
        _say_untrusted(problem)
        return None
    except OSError:
        return None
    for name in names:
        try:
            data = folder.read(name)
        except UntrustedError as problem:
            _say_untrusted(problem)
        except OSError:
            continue
        else:
            if _is_whole(name, data):
                return Kept(data, folder.path / name, made=False)
    return None


def keep(key: str, suffix: str, build: Callable[[], bytes]) -> Kept:
    """The file of ``key`` from the cache, or what ``build`` gives, kept there for those who come later.

    Of processes that want it at once one builds and the others wait; when its ``build`` fails, they fail with it and do
    not try the same in turn. Where the cache cannot be written, or others can write to it, that is said once, and every
    process builds for itself. Raises :class:`KernelError` if ``build`` does.
    """
    if (found := find(key, suffix)) is not None:
        return found
    try:
        folder = TrustedFolder(kernel_folder(), make=True)
    except UntrustedError as problem:
        _say_untrusted(problem)
        return Kept(build(), None, made=True)
    except OSError as problem:
        _say_unwritable(problem)
        return Kept(build(), None, made=True)
    note = f"{key}.log"
    before = _stamp(folder, note)
    with _turn(folder, key):
        if (found := find(key, suffix)) is not None:
            return found
        if (after := _stamp(folder, note)) is not None and after != before:
            raise KernelError(folder.read(note).decode(errors="replace"))
        try:
            data = build()
        except KernelError as error:
            with suppress(OSError):
                folder.write(note, str(error).encode(errors="surrogateescape"))
            raise
        return Kept(data, _store(folder, key, suffix, data), made=True)


@functools.cache
def say_once(message: str) -> None:
    """Warn of ``message``, the first time only, and in one of the processes that a launcher started on this machine."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        logger.warning("%s", message)


def _say_untrusted(problem: UntrustedError) -> None:
    say_once(
        f"compiled kernels are not taken from {kernel_folder()}: {problem}; every process compiles them again. The"
        " folder and its parents must belong to you or root, and be writable by no other user (chmod go-w); or set"
        " TINKIT_CACHE to such a folder"
    )


def _say_unwritable(problem: OSError) -> None:
    say_once(
        f"compiled kernels cannot be kept in {kernel_folder()} ({problem.strerror}): every process compiles them again;"
        " set TINKIT_CACHE to a folder that can be written"
    )


def _names(folder: TrustedFolder, key: str, suffix: str) -> list[str]:
    return [name for name in folder.names() if name.startswith(f"{key}-") and name.endswith(suffix)]


def _is_whole(name: str, data: bytes) -> bool:
    return Path(name).stem.rpartition("-")[2] == hashlib.sha256(data).hexdigest()[:_DIGITS]


def _stamp(folder: TrustedFolder, name: str) -> tuple[int, int] | None:
    """Changes whenever a file is written anew; None where there is none that can be trusted."""
    try:
        descriptor = folder.open(name)
    except (OSError, UntrustedError):
        return None
    status = os.fstat(descriptor)
    os.close(descriptor)
    return status.st_ino, status.st_mtime_ns


@contextmanager
def _turn(folder: TrustedFolder, key: str) -> Iterator[None]:
    """Wait for our turn to build ``key``: a lock that the system opens when its holder ends, however that ends.

    Where there is no such lock (a cache that cannot be written, some network file systems), or its holder
    hangs, continue without: files are renamed into place, so that this costs work and breaks nothing.
    """
    # not filelock: it opens the lock by its name, which may be a link or a pipe, and not as TrustedFolder does
    try:
        import fcntl

        handle = os.fdopen(folder.open(f"{key}.lock", os.O_RDWR | os.O_CREAT), "r+b")
    except UntrustedError as problem:
        _say_untrusted(problem)
        yield
        return
    except (ImportError, OSError):
        yield
        return
    with handle:
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < _PATIENCE:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
            if waited > _NOTICE:
                say_once(f"another process compiles the kernels; it is waited for, at most {_PATIENCE:.0f} s")
        try:
            yield
        finally:
            with suppress(OSError):  # said aloud: a process forked meanwhile holds the same handle
                fcntl.flock(handle, fcntl.LOCK_UN)


def _store(folder: TrustedFolder, key: str, suffix: str, data: bytes) -> Path | None:
    """Write ``data`` under its name and remove what else is under the same key; None where that cannot be done."""
    name = f"{key}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}{suffix}"
    try:
        folder.write(name, data)
    except OSError as problem:
        _say_unwritable(problem)
        return None
    for other in _names(folder, key, suffix):
        try:
            whole = _is_whole(other, folder.read(other))
        except (OSError, UntrustedError):
            whole = False
        if not whole:
            folder.remove(other)
    folder.remove(f"{key}.log")
    return folder.path / name
