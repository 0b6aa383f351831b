"""Workers as the process that started them sees them: tasks out, results in, and who has died or is stuck."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import pickle
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, Protocol

from tinkit.errors import Interrupted, UserError
from tinkit.workers.channel import Carried, Channel, Kind, TruncatedError
from tinkit.workers.files import require_files, too_many_files
from tinkit.workers.serve import Work, serve

logger = logging.getLogger(__name__)

GIVE_UP = 600.0
"""Seconds without a sign of life after which a process is given up, unless asked otherwise."""
_NOTICE = 60.0  # seconds after which a warning says that a process shows no sign of life
_LAST = 2.0  # seconds that a wait may still take after a signal to stop
_TICK = 0.25  # seconds between two looks at the signals
_KILLED = 5.0  # seconds for a killed process to be gone
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}


class WorkerLostError(UserError):
    """A process was killed, or is stuck and was given up."""


class Wish(Protocol):
    """A signal that asks to stop: its number; 0 while none came."""

    @property
    def number(self) -> int:
        """The signal."""


@dataclass
class _Worker:
    process: BaseProcess
    channel: Channel
    tasks: deque[Any] = field(default_factory=deque)
    """Those whose results were not taken."""
    replies: deque[tuple[Kind, Any]] = field(default_factory=deque)
    silent: float = 0.0
    """Seconds that were waited since its last sign of life."""
    said: bool = False

    @property
    def busy(self) -> bool:
        """Whether it has a task."""
        return len(self.tasks) > len(self.replies)


class Workers:
    """``count`` processes, each of which calls ``begin(number)`` once, and what that gives with every task.

    ``begin`` is pickled where the start method is not ``fork``; tasks and results always are. ``what`` names a process
    for people, ``describe`` a task. A process that has a task is given up when it shows no sign of life for ``give_up``
    seconds of waiting. A signal to stop (``wish``) ends a wait within seconds. To be used by one thread, which ends it
    with :meth:`close`; so does the end of this process, whatever its kind.
    """

    def __init__(
        self,
        count: int,
        begin: Callable[[int], Work],
        *,
        what: str,
        describe: Callable[[Any], str],
        give_up: float = GIVE_UP,
        wish: Wish | None = None,
        context: BaseContext | None = None,
    ) -> None:
        require_files(count)
        self._what, self._describe, self._give_up, self._wish = what, describe, give_up, wish
        self._workers: list[_Worker] = []
        # multiprocessing would end them by SIGTERM, which they block, and wait for ever
        self._at_exit = Finalize(None, self.kill, exitpriority=100)
        try:
            for number in range(count):
                self._workers.append(self._start(context or multiprocessing.get_context(), begin, number))
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise too_many_files(f"a {what} could not be started", 0) from error
            raise

    def __len__(self) -> int:
        return len(self._workers)

    def give(self, number: int, task: Any) -> None:
        """Send a task to a process; it does them in order."""
        worker = self._workers[number]
        worker.tasks.append(task)
        worker.channel.put(pickle.dumps(task))

    def take(self, number: int | None = None) -> tuple[int, Any]:
        """Wait for the next result of a process, or of any: the process' number, and the result.

        Raises what the work raised, :class:`WorkerLostError` as soon as any process has ended or was given up, and
        :class:`~tinkit.errors.Interrupted` after a signal to stop.
        """
        wanted = range(len(self._workers)) if number is None else (number,)
        waited = asked = 0.0
        while True:
            begun = time.monotonic()
            self._read(min(waited, _TICK))
            # this process may have been stopped meanwhile (Ctrl-Z), which does not count as waiting
            passed = min(time.monotonic() - begun, 2 * _TICK)
            for one in wanted:
                if self._workers[one].replies:
                    return one, self._result(self._workers[one])
            self._check_silence(passed)
            waited = _TICK
            if self._wish is not None and self._wish.number:
                asked += passed
                if asked >= _LAST:
                    raise Interrupted("interrupted", number=self._wish.number, fix="")

    def close(self) -> None:
        """End the processes now, whatever they do; nothing that they hold outlives them."""
        self._at_exit.cancel()
        self.kill()
        for worker in self._workers:
            worker.process.join(_KILLED)
            worker.channel.close()
            for _, value in worker.replies:
                if isinstance(value, Carried):
                    os.close(value.descriptor)
        self._workers = []

    def kill(self) -> None:
        """Kill the processes; a :meth:`take` in another thread raises. :meth:`close` is still to come."""
        for worker in self._workers:
            worker.process.kill()

    def _start(self, context: BaseContext, begin: Callable[[int], Work], number: int) -> _Worker:
        ours, theirs = socket.socketpair()
        # A fork has all that this process holds, sockets of other workers included: an end must be seen.
        held = [*(worker.channel.socket.fileno() for worker in self._workers), ours.fileno()]
        inherited = held if context.get_start_method() == "fork" else []
        # the system's signal would come when the thread that started it ends
        dies_with = threading.current_thread() is threading.main_thread()
        process = context.Process(  # type: ignore[attr-defined]
            target=serve,
            args=(theirs, inherited, begin, number),
            kwargs={"dies_with": dies_with},
            daemon=True,
        )
        # A signal to stop, which often reaches the whole group of processes, is the first process' affair. The others
        # inherit the mask, so that it can never reach them.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return _Worker(process, Channel(ours))

    def _read(self, timeout: float) -> None:
        """Take what has come, waiting for it at most ``timeout`` seconds, and send what was not sent."""
        poll = select.poll()
        by_descriptor = {worker.channel.socket.fileno(): worker for worker in self._workers}
        for descriptor, worker in by_descriptor.items():
            poll.register(descriptor, select.POLLIN | (select.POLLOUT if worker.channel.unsent else 0))
        for descriptor, _ in poll.poll(timeout * 1000):
            worker = by_descriptor[descriptor]
            worker.channel.flush()
            try:
                messages = worker.channel.receive()
            except TruncatedError:
                raise too_many_files(f"a file from a {self._what} could not be taken", 0) from None
            worker.replies += [message for message in messages if message[0] is not Kind.ALIVE]
            if messages:
                worker.silent = 0.0
            if worker.channel.ended:
                worker.process.join(_KILLED)
                raise self._lost(worker, *_death(worker.process.exitcode))

    def _result(self, worker: _Worker) -> Any:
        kind, value = worker.replies.popleft()
        worker.tasks.popleft()
        if kind is Kind.ERROR:
            error, trace = value
            error.add_note(f"in a {self._what}:\n{trace}")
            raise error
        return value

    def _check_silence(self, passed: float) -> None:
        for worker in self._workers:
            worker.silent = worker.silent + passed if worker.busy else 0.0
            if worker.silent >= self._give_up:
                raise self._lost(
                    worker,
                    f"has shown no sign of life for {self._give_up:g} s",
                    "see whether the disk answers, and whether the process was stopped; then run it again, or resume",
                )
            if worker.silent >= min(_NOTICE, self._give_up / 2) and not worker.said:
                worker.said = True
                logger.warning(
                    "a %s (process %s) has shown no sign of life for %.0f s%s; it is given up after %g s",
                    *(self._what, worker.process.pid, worker.silent, self._doing(worker), self._give_up),
                )

    def _doing(self, worker: _Worker) -> str:
        return f", at {self._describe(worker.tasks[len(worker.replies)])}" if worker.busy else ""

    def _lost(self, worker: _Worker, what: str, fix: str) -> WorkerLostError:
        return WorkerLostError(f"a {self._what} (process {worker.process.pid}) {what}{self._doing(worker)}", fix=fix)


def each(workers: Workers, tasks: Iterable[Any], *, ahead: int = 2) -> Iterator[tuple[Any, Any]]:
    """(task, result) of every task, as they are done; each process has up to ``ahead`` of them. Ends the workers."""
    waiting, held = iter(tasks), [deque[Any]() for _ in range(len(workers))]

    def give(number: int) -> None:
        for task in waiting:
            workers.give(number, task)
            held[number].append(task)
            return

    try:
        for _ in range(ahead):
            for number in range(len(workers)):
                give(number)
        while any(held):
            number, result = workers.take()
            give(number)
            yield held[number].popleft(), result
    finally:
        workers.close()


def _death(code: int | None) -> tuple[str, str]:
    """What to say of a process that has ended with ``code``, and what to do about it."""
    if code is None or code >= 0:
        return f"has ended with exit code {code}", "its own message says why"
    said = f"was killed by signal {-code} ({signal.strsignal(-code)})"
    if code == -signal.SIGKILL:
        return (
            f"{said}, most likely by the system because memory ran out",
            "use fewer data workers, a smaller batch or a machine with more memory; then run it again, or resume",
        )
    if code == -signal.SIGBUS:
        return said, "the disk for temporary files, or the memory, is full: give the machine or container more"
    return said, "check the clips that it was decoding: ffmpeg -v error -i FILE -f null -"
