"""Chunks of work over an executor of the user's choice: processes here, a cluster of dask elsewhere.

Any :class:`concurrent.futures.Executor` will do. One that breaks, since a process of it was killed, is made anew. What
was under way is then tried a chunk at a time, and the tasks of a chunk that breaks it again one at a time, so that only
what breaks it alone is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import ExitStack
from typing import Generic, TypeVar

from tinkit.errors import UserError
from tinkit.spread.cluster import ClusterExecutor

Task = TypeVar("Task")
Result = TypeVar("Result")

_WINDOW = 4  # chunks a worker that are given out at a time
_START = 120.0  # seconds that a process may take to start
_LOOK = 5.0  # seconds from one look at whether a cluster still has workers to the next


def _require_alive(executor: Executor) -> None:
    """Raise :class:`~tinkit.errors.UserError` for an executor that cannot do anything: no task is to blame for that."""
    try:
        executor.submit(_nothing).result(_START)
    except (BrokenExecutor, CancelledError, TimeoutError) as problem:
        raise UserError(
            f"no process could be started to work in: {problem or type(problem).__name__}",
            fix="free memory, or give fewer --workers; in a script of your own, call this below `if __name__ == ...`",
        ) from problem


def _nothing() -> None:
    """What a process is asked to do first."""


def _done(executor: Executor, running: Collection[Future[Result]]) -> set[Future[Result]]:
    """Those of ``running`` that have an outcome, once there is one. A cluster without workers is not waited for."""
    while True:
        done, _ = wait(running, _LOOK, FIRST_COMPLETED)
        if done:
            return done
        if isinstance(executor, ClusterExecutor):
            executor.require_workers()


class Spread(Generic[Task, Result]):
    """Gives chunks of tasks to ``function`` on an executor, ``workers`` of which work at a time.

    Of a cluster, as many work as it has when work is given out: it may grow and shrink.
    ``lost(task)`` is the result of a task that broke the executor every time.
    """

    def __init__(
        self,
        make: Callable[[], Executor],
        function: Callable[[tuple[Task, ...]], list[Result]],
        workers: int,
        lost: Callable[[Task], Result],
    ) -> None:
        self._make, self._function, self._workers, self._lost = make, function, workers, lost

    def results(self, chunks: Sequence[tuple[Task, ...]]) -> Iterator[list[Result]]:
        """The results of every chunk, as they come; what is under way is dropped if the caller stops."""
        waiting, suspects = deque(chunks), deque[tuple[Task, ...]]()
        while waiting or suspects:
            with ExitStack() as stack:
                executor = self._make()
                # Here what is under way is waited for: else it writes yet when a later run has begun.
                here = not isinstance(executor, ClusterExecutor)
                stack.callback(executor.shutdown, wait=here, cancel_futures=True)
                _require_alive(executor)
                if suspects:
                    yield from self._one_by_one(executor, suspects)
                else:
                    yield from self._together(executor, waiting, suspects)

    def _together(
        self, executor: Executor, waiting: deque[tuple[Task, ...]], suspects: deque[tuple[Task, ...]]
    ) -> Iterator[list[Result]]:
        """Work on ``waiting`` until it is empty, or the executor breaks: which chunk broke it nobody knows then."""
        running: dict[Future[list[Result]], tuple[Task, ...]] = {}
        try:
            while waiting or running:
                window = _WINDOW * (executor.workers if isinstance(executor, ClusterExecutor) else self._workers)
                while waiting and len(running) < window:
                    chunk = waiting.popleft()
                    suspects.append(chunk)
                    running[executor.submit(self._function, chunk)] = chunk
                for future in _done(executor, running):
                    result = future.result()
                    suspects.remove(running.pop(future))
                    yield result
        except (BrokenExecutor, CancelledError):
            pass

    def _one_by_one(self, executor: Executor, suspects: deque[tuple[Task, ...]]) -> Iterator[list[Result]]:
        """Work on one chunk of ``suspects`` at a time, until one breaks the executor: its tasks are tried alone."""
        while suspects:
            chunk = suspects[0]
            try:
                (done,) = _done(executor, [executor.submit(self._function, chunk)])
                result = done.result()
            except (BrokenExecutor, CancelledError):
                suspects.popleft()
                if len(chunk) == 1:
                    yield [self._lost(chunk[0])]
                suspects.extendleft((task,) for task in reversed(chunk) if len(chunk) > 1)
                return
            suspects.popleft()
            yield result
