"""`--gpus N`: the command itself, run as N processes by torchrun's own launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch

from tinkit.engine.distributed.environment import environment_number
from tinkit.engine.distributed.signals import stop_signals
from tinkit.errors import SaidElsewhere, UsageError, UserError

_GRACE = 600  # seconds that processes have to save after a signal; after a failure torchrun's launcher gives them 30
_GLANCE = 0.5  # seconds between two looks at processes that may be stopped
_DEAF = 2.0  # seconds that one may be so after a signal
_LAUNCHER_LOGS = ("torch.distributed.elastic", "torch.distributed.launcher")


def launched(processes: int | None, max_restarts: int) -> bool:
    """Run this process' command line as ``processes`` processes and wait for them; False if it is to work itself.

    It is to work itself where one process was asked for, and in a process that was launched already. Raises what
    :func:`launch` does.
    """
    size = environment_number("WORLD_SIZE", 0)
    if size:
        if processes not in (None, size):
            raise UsageError(f"--gpus {processes} under torchrun, which runs {size} processes", fix="leave out --gpus")
        return False
    if processes is None or processes == 1:
        if max_restarts:
            raise UsageError(
                "--max-restarts is for several processes",
                fix="add --gpus N; one process is restarted by hand, with --resume RUN",
            )
        return False
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise UsageError(f"--gpus {processes}: there are {torch.cuda.device_count()} GPUs")
    launch([sys.executable, "-m", "tinkit", *sys.argv[1:]], processes, max_restarts)
    return True


def launch(command: Sequence[str], processes: int, max_restarts: int = 0) -> None:
    """Run ``command`` as ``processes`` processes of one world on this machine, and wait until all of them have ended.

    When one fails, the others are ended, and all begin again up to ``max_restarts`` times. The signals of
    :func:`~tinkit.engine.distributed.signals.stop_signals` are passed on to all of them, once, and nothing begins
    again. Raises
    :class:`~tinkit.errors.SaidElsewhere` with the exit code of a process that failed or 128 + the signal (75 for
    SIGUSR1), and :class:`~tinkit.errors.UserError` that names the process where one was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_GRACE))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # our own messages tell of a peer that ends
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="tinkit",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=max_restarts,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),  # what they print is not kept, so no folder is made
        signals_to_handle=",".join(signal.Signals(number).name for number in stop_signals()),
    )
    try:
        with _silent(_LAUNCHER_LOGS), _killing_the_stopped():
            elastic_launch(config, command[0])(*command[1:])
    except SignalException as error:
        raise _ended(75 if error.sigval == getattr(signal, "SIGUSR1", None) else 128 + error.sigval) from None
    except ChildFailedError as error:
        raise failure_of(error.failures, processes) from None


class _Failure(Protocol):
    """The part of torch's ProcessFailure that is read."""

    exitcode: int
    timestamp: int  # seconds


def failure_of(failures: Mapping[int, _Failure], processes: int) -> UserError:
    """The error for the processes that failed, by rank.

    Those of the first second are why the others failed, whom the launcher ends with SIGTERM, and half a minute later
    with SIGKILL. Among them one that was killed has not said so itself; else the main process knows best.
    """
    begun = min(failure.timestamp for failure in failures.values())
    codes = {rank: one.exitcode for rank, one in sorted(failures.items()) if one.timestamp <= begun + 1}
    exited = [code for code in codes.values() if code > 0]
    killed = {rank: -code for rank, code in codes.items() if code < 0 and not (exited and -code == signal.SIGTERM)}
    if not killed:
        return _ended(exited[0])
    rank, number = max(killed.items(), key=lambda one: one[1] != signal.SIGTERM)
    return UserError(
        f"process {rank} of {processes} was killed by signal {number} ({signal.strsignal(number)})",
        fix="resume from the last checkpoint with --resume; the system's log says whether memory ran out",
    )


def _ended(code: int) -> SaidElsewhere:
    ended = SaidElsewhere("a process has ended")
    ended.exit_code = code
    return ended


@contextmanager
def _killing_the_stopped() -> Iterator[None]:
    """In this block, kill a child that was asked to stop and cannot, because it is suspended.

    All others would wait for it, and torch's launcher for up to ten minutes. Linux only: elsewhere the system does not
    say which signals a process has not taken yet.
    """
    over = threading.Event()

    def look() -> None:
        seen: dict[int, int] = {}
        while not over.wait(_GLANCE):
            seen = {pid: seen.get(pid, 0) + 1 for pid in _deaf_children()}
            for pid, times in seen.items():
                if times * _GLANCE >= _DEAF:
                    os.kill(pid, signal.SIGKILL)

    watching = threading.Thread(target=look, name="killing the stopped", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _deaf_children() -> Iterator[int]:
    """The processes that this one has started which are stopped, and were sent a signal to end or stop their work."""
    wanted = sum(1 << number - 1 for number in {*stop_signals(), signal.SIGTERM})
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, _text(children).split()):
            status = dict(line.split(":", 1) for line in _text(Path(f"/proc/{pid}/status")).splitlines())
            stopped = status.get("State", "").strip()[:1] in ("T", "t")
            if stopped and int(status.get("ShdPnd", "0"), 16) & wanted:
                yield pid


def _text(file: Path) -> str:
    """What a file of /proc says; nothing where it has gone."""
    try:
        return file.read_text()
    except OSError:
        return ""


@contextmanager
def _silent(names: Sequence[str]) -> Iterator[None]:
    """Keep what these loggers and those below them have to say from the handlers above them."""
    loggers, nothing = [logging.getLogger(name) for name in names], logging.NullHandler()
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(nothing)
    try:
        yield
    finally:
        for logger in loggers:
            logger.propagate = True
            logger.removeHandler(nothing)
