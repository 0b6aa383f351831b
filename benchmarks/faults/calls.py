"""Faults at every call to the system that a function makes: the process is killed before it, or the call fails.

Python tells an audit hook of each call that opens, renames, links, makes or removes a file, before it is made; what it
does not tell of (flushing and writing) is wrapped. Each case runs in a forked process, in a copy of a folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_EVENTS = {
    *("open", "os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"),
    "os.utime",
}
_WRAPPED = ("fsync", "write", "pwrite", "ftruncate")
MOST = 2000  # calls that are tried at most


def killed_before_each_call(before: Path, base: Path, act: Callable[[Path], None], *, step: int = 1) -> Iterator[Path]:
    """Copies of the folder ``before``, in each of which ``act`` was killed ``step`` calls later; the last one ended.

    They lie below ``base``; whoever is given one may remove it.
    """

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for number in range(1, MOST, step):
        folder = _copy(before, base, number)
        if _forked(folder, act, number, kill) == 0:  # it ended before that call
            yield folder
            return
        yield folder
    raise RuntimeError(f"more than {MOST} calls")


def failing_at_each_call(
    before: Path, base: Path, act: Callable[[Path], None], error: int, *, step: int = 1
) -> Iterator[tuple[Path, int]]:
    """Copies of the folder ``before``, in each of which one call of ``act``, ``step`` later, failed with ``error``.

    With each comes the exit code of the process: 0 where ``act`` returned, 1 where it raised UserError, 3 for any other
    exception. The last is the first in which no call failed.
    """

    def fail() -> None:
        raise OSError(error, os.strerror(error))

    for number in range(1, MOST, step):
        folder = _copy(before, base, number)
        reached = folder.with_name(f"{folder.name}.reached")

        def once(mark: Path = reached) -> None:
            os.close(os.open(mark, os.O_CREAT | os.O_WRONLY))
            fail()

        code = _forked(folder, _guarded(act), number, once)
        yield folder, code
        if not reached.exists():
            return
    raise RuntimeError(f"more than {MOST} calls")


def forked(folder: Path, act: Callable[[Path], None]) -> int:
    """The exit code of a process that does ``act`` in ``folder``: 0, 1 for a UserError, 3 for any other exception."""
    return _forked(folder, _guarded(act), 0, lambda: None)


def _guarded(act: Callable[[Path], None]) -> Callable[[Path], None]:
    from tinkit.errors import UserError

    def guarded(folder: Path) -> None:
        try:
            act(folder)
        except UserError as problem:
            print(problem, file=sys.stderr, flush=True)
            os._exit(1)
        except BaseException as problem:  # the proof's verdict: whatever else comes out is a fault
            traceback.print_exception(problem)
            os._exit(3)

    return guarded


def _copy(before: Path, base: Path, number: int) -> Path:
    folder = base / f"case-{number}"
    shutil.copytree(before, folder, symlinks=True)
    return folder


def _forked(folder: Path, act: Callable[[Path], None], fatal: int, strike: Callable[[], None]) -> int:
    """The exit code of a child in which ``strike`` is called before the call number ``fatal`` to the system."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 3
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        try:
            _arm(fatal, strike, folder)
            act(folder)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(fatal: int, strike: Callable[[], None], folder: Path) -> None:
    calls = 0
    inside = False
    root = os.fspath(folder)

    def count() -> None:
        nonlocal calls, inside
        if inside:
            return
        calls += 1
        if calls == fatal:
            inside = True
            try:
                strike()
            finally:
                inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and _is_below(arguments[0], root):
            count()

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(first, int) or _is_below(first, root):
                count()
            # what is not flushed survives a kill, and a disk that is shared makes every flush slow
            return None if function is flush else function(first, *arguments, **options)

        return call

    flush = os.fsync
    sys.addaudithook(hook)
    for name in _WRAPPED:
        setattr(os, name, wrapped(getattr(os, name)))


def _is_below(path: Any, root: str) -> bool:
    """Whether a call is about the folder under test, or about a file that is open already."""
    if isinstance(path, int):
        return True
    try:
        return os.fsdecode(path).startswith(root)
    except TypeError:
        return False
