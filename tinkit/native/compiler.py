"""Running a compiler: what it says, and for how long it may take."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tinkit.native.cache import KernelError, say_once

NOTICE = 5.0
"""Seconds after which it is said that a compiler runs, and for how long it may."""


def run_compiler(command: Sequence[str], *, limit: float) -> str:
    """What ``command`` prints.

    Raises :class:`~tinkit.native.cache.KernelError` if it fails, or takes ``limit`` seconds. One that takes long is
    said, with the limit.
    """
    # Into a file: a compiler's own children may outlive it, and would keep a pipe open.
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LC_ALL": "C"},
        )
        try:
            _wait(process, command[0], limit)
        except BaseException:
            _kill(process.pid)
            process.wait()
            raise
        log.seek(0)
        output = log.read()
    if process.returncode:
        raise KernelError(f"{command[0]} failed: {_reason(output, process.returncode)}", output=output)
    return output


def _wait(process: subprocess.Popen[bytes], name: str, limit: float) -> None:
    notice = min(NOTICE, limit)
    with suppress(subprocess.TimeoutExpired):
        process.wait(notice)
        return
    say_once(f"{name} has run for {notice:g} s; it is given up after {limit:g} s")
    try:
        process.wait(limit - notice)
    except subprocess.TimeoutExpired:
        raise KernelError(f"{name} did not finish in {limit:g} s and was given up") from None


def _kill(pid: int) -> None:
    """Kill a process that was not waited for, and those that it has started, where the system tells which."""
    with suppress(OSError):
        os.kill(pid, signal.SIGSTOP)  # so that it starts no more of them meanwhile
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            _kill(int(child))
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _reason(output: str, code: int) -> str:
    """The first line of ``output`` that speaks of an error, else how the process ended."""
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    if errors:
        return errors[0]
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
