"""A dask cluster as an executor: its lost workers are a broken executor, and what it lacks is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Any

from tinkit.errors import UserError
from tinkit.spread import PATIENCE

_ANSWER = 20.0  # seconds that a scheduler may take to answer
_WORKERS = 60.0  # seconds until a first worker must be there, and have done a first task
_RETRIES = 3  # of a task whose worker was lost, before it is taken for what kills workers


class ClusterExecutor(Executor):
    """The workers of a dask cluster, by ``client``, which is closed with it.

    One that has had no worker for ``patience`` seconds is given up by :meth:`require_workers`: dask itself waits.
    """

    def __init__(self, client: Any, patience: float) -> None:
        self._client, self._patience, self._seen = client, patience, time.monotonic()
        self._inner = client.get_executor(pure=False, retries=_RETRIES)

    @property
    def workers(self) -> int:
        """How many tasks the cluster works on at a time, now; at least 1, since a lost worker may come back."""
        return max(1, self._threads())

    def require_workers(self) -> None:
        """To be asked now and then while results are waited for.

        Raises :class:`~tinkit.errors.UserError` if there has been no worker for too long, BrokenExecutor if the
        scheduler does not answer any more.
        """
        now = time.monotonic()
        if self._threads():
            self._seen = now
        elif now - self._seen > self._patience:
            raise UserError(
                f"the dask cluster at {self._client.scheduler.address} has lost all its workers, and had none for "
                f"{self._patience:g} s",
                fix="start workers, and run the same command again: what is done stays done (--dask-wait: more time)",
            )

    def _threads(self) -> int:
        try:
            return sum(self._client.nthreads().values())
        except OSError as problem:
            raise BrokenExecutor(f"the dask scheduler does not answer: {problem}") from problem

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As :meth:`concurrent.futures.Executor.submit`; a task that loses its workers raises BrokenExecutor."""
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        self._inner.submit(function, *args, **kwargs).add_done_callback(lambda done: _hand_on(done, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as every executor
        """Drop what is under way, unless it is waited for, and leave the cluster, which goes on."""
        self._inner.shutdown(wait=wait and not cancel_futures)
        self._client.close()


def dask_cluster(address: str, patience: float = PATIENCE) -> Callable[[], Executor]:
    """What makes an executor of the dask cluster whose scheduler is at ``address``.

    The cluster may be without a worker for ``patience`` seconds.
    It raises :class:`~tinkit.errors.UserError` where dask.distributed is not installed, no scheduler answers, there
    is no worker, or the workers cannot run tinkit.
    """

    def connect() -> Executor:
        try:
            from distributed import Client
        except ImportError:
            raise UserError("dask.distributed is not installed", fix="pip install 'tinkit[dask]'") from None
        try:
            client = Client(address, timeout=_ANSWER, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise UserError(
                f"no dask scheduler answers at {address}: {problem or type(problem).__name__}",
                expected="an address such as tcp://host:8786, where `dask scheduler` runs",
            ) from None
        try:
            _require_workers(client, address)
        except BaseException:
            client.close()
            raise
        return ClusterExecutor(client, patience)

    return connect


def _require_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKERS)
    except TimeoutError:
        raise UserError(
            f"the dask cluster at {address} has no worker", fix=f"start some: dask worker {address}"
        ) from None
    try:
        client.submit(_version, pure=False).result(timeout=_WORKERS)
    except Exception as problem:  # whatever keeps a worker from a function that does next to nothing
        raise UserError(
            f"the workers of the dask cluster at {address} cannot run tinkit: {problem or type(problem).__name__}",
            fix="install the same tinkit, Python and dask where the workers run",
        ) from problem


def _version() -> str:
    """What a worker is asked first."""
    from tinkit import __version__

    return __version__


def _hand_on(done: Future[Any], outer: Future[Any]) -> None:
    """Give ``outer`` the outcome of dask's future; a killed worker, or a scheduler that is gone, is a broken executor.

    The type of the error is known by name: distributed need not be imported to say it.
    """
    if done.cancelled():
        outer.set_exception(CancelledError())
        return
    problem = done.exception()
    if problem is None:
        outer.set_result(done.result())
    elif type(problem).__name__ == "KilledWorker":
        outer.set_exception(BrokenExecutor(str(problem)))
    else:
        outer.set_exception(problem)
