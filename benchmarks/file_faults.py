"""Faults at every call by which a function changes a folder: it is killed before the call, or no space is left for it.

Python tells an audit hook of calls that open, rename, link, make or remove files, before they are made; flushing and
writing, which it does not tell of, are wrapped. Each case runs in a forked process, in a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")
_FREEING = ("os.remove", "os.rmdir", "os.chmod")  # what needs no space does not fail for want of it
_MOST = 500
KILLED, RAISED = -signal.SIGKILL, 3

Act = Callable[[Path], Any]


def cases(before: Path, base: Path, act: Act, error: int | None = None, every: int = 1) -> Iterator[tuple[Path, int]]:
    """Copies of the folder ``before`` in which ``act`` was struck one call later each time, and how the process ended.

    ``error`` is the number with which the call fails; None kills the process. The exit codes are 0 for an ``act`` that
    returned, 1 for UserError, 2 for OSError, :data:`RAISED` for anything else. Ends with the first that was not struck.
    With ``every``, one call in so many is tried.
    """
    for number in range(1, _MOST, every):
        folder = base / f"case-{number}"
        shutil.copytree(before, folder, symlinks=True)
        struck = base / f"struck-{number}"
        yield folder, _forked(folder, act, number, struck, error)
        if not struck.exists():
            return
    raise RuntimeError(f"more than {_MOST} calls")


def _forked(folder: Path, act: Act, fatal: int, struck: Path, error: int | None) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os._exit(_guarded(folder, act, fatal, struck, error))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _guarded(folder: Path, act: Act, fatal: int, struck: Path, error: int | None) -> int:
    from tinkit.errors import UserError

    _arm(folder, fatal, struck, error)
    try:
        act(folder)
    except UserError:
        return 1
    except OSError:
        return 2
    except BaseException as problem:  # the verdict of the proof: whatever else comes out is a fault
        print(repr(problem), file=sys.stderr)
        return RAISED
    return 0


def _arm(folder: Path, fatal: int, struck: Path, error: int | None) -> None:
    left = fatal
    root = os.fspath(folder)

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.close(os.open(struck, os.O_CREAT | os.O_WRONLY))
            if error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(error, os.strerror(error), root)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        changes = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        fails = error is None or event not in _FREEING
        if changes and fails and os.fsdecode(arguments[0]).startswith(root):
            count()

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            count()
            return function(*arguments, **options)

        return call

    sys.addaudithook(hook)
    os.fsync, os.pwrite = wrapped(lambda _: None), wrapped(os.pwrite)  # what is not flushed survives a kill
