"""What a worker does: tasks, until the process that started it has gone."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from tinkit.workers.channel import HEAD_SIZE, Carried, Kind, head_of, send

Alive = Callable[[], None]
"""To be called by work that takes long, as often as it likes: the process is not stuck."""
Work = Callable[[Any, Alive], Any]
"""What a process does with a task. What it gives, or raises, is pickled."""

_BEAT = 1.0  # seconds between two signs of life
_LOOK = 1000  # milliseconds between two looks at the process that started this one


def serve(
    channel: socket.socket, inherited: list[int], begin: Callable[[int], Work], number: int, *, dies_with: bool
) -> None:
    """Do the tasks that come over ``channel`` with what ``begin(number)`` gives; never returns.

    ``inherited`` are descriptors of the process that started this one, which only that is to hold; ``dies_with``: the
    system kills this process with that one.
    """
    gc.freeze()  # a fork shares what it inherits until a collection writes to it: a few hundred MB in training
    signal.set_wakeup_fd(-1)  # a fork has that of the process that started it
    for descriptor in inherited:
        os.close(descriptor)
    if sys.platform == "linux" and dies_with:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    parent = _Parent()
    last = time.monotonic()

    def alive() -> None:
        nonlocal last
        if time.monotonic() - last >= _BEAT:
            last = time.monotonic()
            send(channel, Kind.ALIVE, b"")

    work: Work | None = None
    try:
        while (task := _next_task(channel, parent)) is not None:
            try:
                work = work or begin(number)
                result = work(pickle.loads(task), alive)
                message = _packed(result)
            except Exception as error:  # whatever it is, it is raised where the result is awaited
                send(channel, Kind.ERROR, _pickled(error))
                continue
            send(channel, *message)
            if isinstance(result, Carried):
                os.close(result.descriptor)
    except ConnectionError:
        pass  # its result is no longer awaited
    os._exit(0)  # at once: threads of libraries, and locks that a fork has left closed, would be waited for


class _Parent:
    """The process that started this one."""

    def __init__(self) -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        self._process, self._id = parent, os.getppid()
        self._direct = self._id == parent.pid  # not so where a server forks

    def alive(self) -> bool:
        """Whether it is still there."""
        return os.getppid() == self._id and (self._direct or self._process.is_alive())


def _next_task(channel: socket.socket, parent: _Parent) -> bytes | None:
    head = _read_exactly(channel, HEAD_SIZE, parent)
    return None if head is None else _read_exactly(channel, head_of(head), parent)


def _read_exactly(channel: socket.socket, size: int, parent: _Parent) -> bytes | None:
    """``size`` bytes; None when the process that sends them has gone."""
    found = b""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while len(found) < size:
        if poll.poll(_LOOK):
            if not (data := channel.recv(size - len(found))):
                return None
            found += data
        elif not parent.alive():
            return None
    return found


def _packed(result: Any) -> tuple[Kind, bytes, int | None]:
    if isinstance(result, Carried):
        return Kind.CARRIED, pickle.dumps(result.value), result.descriptor
    return Kind.VALUE, pickle.dumps(result), None


def _pickled(error: Exception) -> bytes:
    trace = traceback.format_exc()
    try:
        pickle.loads(data := pickle.dumps((error, trace)))
    except Exception:  # an exception of a library may hold anything
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), trace))
    return data
