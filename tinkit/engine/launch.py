"""`--gpus N`: the command itself, run as N processes by torchrun's own launcher."""

from __future__ import annotations

import os
import signal
import sys

import torch

from tinkit.errors import SaidElsewhere, UsageError, UserError


def launched(processes: int | None, max_restarts: int) -> bool:
    """Run this process' command line as ``processes`` processes and wait for them; False if it should just go on.

    It just goes on where one process was asked for, or in a process that was launched already. Raises the error of the
    process that failed first.
    """
    size = int(os.environ.get("WORLD_SIZE", "0"))
    if size:
        if processes not in (None, size):
            raise UsageError(f"--gpus {processes} under torchrun, which runs {size} processes", fix="leave out --gpus")
        return False
    if processes is None or processes == 1:
        return False
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise UsageError(f"--gpus {processes}: there are {torch.cuda.device_count()} GPUs")
    _launch(processes, max_restarts)
    return True


def _launch(processes: int, max_restarts: int) -> None:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "tinkit", *sys.argv[1:])
    except SignalException as error:
        raise _ended(128 + error.sigval if error.sigval != signal.SIGUSR1 else 75) from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise _ended(failure.exitcode) from error
        raise UserError(
            f"process {rank} of {processes} was killed by {signal.Signals(-failure.exitcode).name}",
            fix="go on from the last checkpoint with --resume; the system's log says whether memory ran out",
        ) from error


def _ended(code: int) -> SaidElsewhere:
    ended = SaidElsewhere("a process has ended")
    ended.exit_code = code
    return ended
