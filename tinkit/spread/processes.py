"""An executor of processes of this machine that end with it: at once where work is dropped, and where it is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import Pipe, get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread


class LocalProcesses(ProcessPoolExecutor):
    """``workers`` processes. Those of Python's own outlive a killed parent: each holds both ends of their queue."""

    def __init__(self, workers: int) -> None:
        ending, self._alive = Pipe(duplex=False)
        # A forked process would share locks with threads of this one; a server is forked before there are any.
        super().__init__(workers, get_context("forkserver"), _begin, (ending,))
        self._ending = ending

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as every executor
        """As of any executor; with ``cancel_futures`` what is under way is dropped too, and all processes end."""
        if cancel_futures:
            self._alive.close()
        super().shutdown(wait=wait or cancel_futures, cancel_futures=cancel_futures)
        self._ending.close()


def processes(workers: int) -> Callable[[], Executor]:
    """What makes an executor of ``workers`` processes of this machine."""
    return lambda: LocalProcesses(workers)


def _begin(ending: Connection) -> None:
    """In a new process: an interrupt of the terminal is for the parent, whose end, or word, is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(ending,), daemon=True).start()


def _end_with(ending: Connection) -> None:
    parent = parent_process()
    assert parent is not None
    wait([ending, parent.sentinel])
    os._exit(1)
