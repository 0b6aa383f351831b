"""Real processes for tests: forked by a server that has imported everything, and joined to a world as torchrun does."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.launcher.api

import tinkit.engine.training.start  # noqa: F401 - for the processes forked later
from tests.helpers.places import ROOT
from tinkit.engine.distributed.world import World, join_world
from tinkit.errors import UserError
from tinkit.timm_import import import_timm

import_timm()

WAIT = 300  # seconds that a process may take: what hangs is ended and fails its test


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, and what its function gave, or what it raised as (class, exit code, text)."""

    code: int
    value: Any = None
    raised: tuple[str, int, str] | None = None


class Process:
    """A new process that calls ``function`` with ``arguments``, with further environment variables."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, **environment: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "pytest"])
        self._end, theirs = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(target=_call, args=(theirs, function, arguments, environment))
        with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # where the server looks for this
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.is_alive()

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        try:
            value, raised = pickle.loads(self._end.recv_bytes()) if self._end.poll(WAIT) else (None, None)
        except EOFError:
            value, raised = None, None
        self._process.join(WAIT)
        if self._process.is_alive():
            self._process.kill()
            raise TimeoutError("the process hangs")
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, value, raised)


class Ranks:
    """``size`` processes that call ``function(world, *arguments)``. The store outlives them, as torchrun's does.

    ``before`` is called with each process' rank before it joins the world.
    """

    def __init__(
        self,
        store: dist.TCPStore,
        size: int,
        function: Callable[..., Any],
        *arguments: Any,
        before: Callable[[int], None] | None = None,
    ) -> None:
        place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
        place |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        self.processes = [
            Process(_join, before, function, arguments, **place, RANK=str(rank), LOCAL_RANK=str(rank))
            for rank in range(size)
        ]

    def wait(self) -> list[Ended]:
        """How each ended."""
        return [process.wait() for process in self.processes]


def agent_store() -> dist.TCPStore:
    """A store on a port of this machine."""
    return dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)


def together(store: dist.TCPStore, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(world, *arguments)`` gives in each of ``size`` processes, none of which may fail."""
    ended = Ranks(store, size, function, *arguments).wait()
    assert [one.raised for one in ended] == [None] * size, ended
    assert [one.code for one in ended] == [0] * size
    return [one.value for one in ended]


def running(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _join(before: Callable[[int], None] | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if before is not None:
        before(int(os.environ["RANK"]))
    with join_world() as world:
        return function(world, *arguments)


def _call(
    end: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], environment: Mapping[str, str]
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    # data workers come as they do in a process of the command line; else they would come from the server too
    multiprocessing.set_start_method("fork", force=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells let their background jobs ignore
    try:
        _send(end, function(*arguments), None)
    except BaseException as error:
        _send(end, None, (type(error).__name__, getattr(error, "exit_code", 1), str(error)))
        if not isinstance(error, UserError | KeyboardInterrupt):
            traceback.print_exc()
        end.close()
        os._exit(getattr(error, "exit_code", 1))  # as the command line does


def _send(end: Connection, value: Any, raised: tuple[str, int, str] | None) -> None:
    # plain pickle: the pipe's own would leave a tensor's numbers in memory that ends with this process
    end.send_bytes(pickle.dumps((value, raised)))


__all__ = ["WAIT", "Ended", "Process", "Ranks", "World", "agent_store", "running", "together"]


def children(pid: int) -> list[int]:
    """The processes that it has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until ``happened()`` while the process runs."""
    deadline = time.monotonic() + WAIT
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
