"""A thread that sees whether work advances while the process waits, for a device or a peer, where Python cannot."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn, TypeVar

from tinkit.engine.distributed.signals import StopSignal
from tinkit.errors import Interrupted
from tinkit.terminal import complain, note

T = TypeVar("T")

_TICK = 0.5  # seconds between two looks
_NOTICE = 60.0  # seconds after which it is said that nothing moves
_GRACE = 5.0  # seconds beyond a step that may pass after a signal to stop
_SLACK = 1.5  # a step may take this many times as long as the longest so far


class Watch:
    """While entered, the process ends with a message when its work does not move.

    That is: a piece of it takes ``limit`` seconds; or a signal to ``stop`` came and the piece under way takes much
    longer than any before. :meth:`over` and :meth:`paused` tell it when a piece begins, and when the process waits for
    something that has a limit of its own. Before the end ``finish(seconds)`` is called, to wait for what is being
    written.
    """

    def __init__(
        self,
        stop: StopSignal | None,
        limit: float,
        what: str,
        finish: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._stop, self._limit, self._what, self._finish = stop, limit, what, finish
        self._moved, self._resting = 0, False
        self._longest = 0.0
        self._begun = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def move(self) -> None:
        """A piece of work is done, and another begins."""
        now = time.monotonic()
        if not self._resting:
            self._longest = max(self._longest, now - self._begun)
        self._begun, self._moved, self._resting = now, self._moved + 1, False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """In this block something is waited for that has a limit of its own."""
        self.move()
        self._resting = True
        try:
            yield
        finally:
            self.move()

    def over(self, pieces: Iterable[T], *, limited: bool) -> Iterator[T]:
        """``pieces``, each of which begins a piece of work; ``limited``: waiting for them has a limit of its own."""
        iterator = iter(pieces)
        while True:
            self.move()
            self._resting = limited
            try:
                piece = next(iterator)
            except StopIteration:
                self.move()
                return
            self.move()
            yield piece

    def _watch(self) -> None:
        """Look every now and then; what is counted are looks, for a process that was stopped has not waited."""
        moved, waited, asked, said = self._moved, 0.0, 0.0, False
        while not self._done.wait(_TICK):
            waited += _TICK
            if moved != self._moved or self._resting:
                moved, waited, said = self._moved, 0.0, False
            number = self._stop.arrived() if self._stop is not None else 0
            asked = asked + _TICK if number else 0.0
            if waited >= self._limit:
                self._end(f"no progress for {self._limit:g} s in {self._what}{_peers()}", 1)
            if number and not self._resting and min(asked, waited - _SLACK * self._longest) >= _GRACE:
                error = Interrupted("", number=number, fix="")
                self._end(
                    f"interrupted, and {self._what} does not end{_peers()}; what was saved is kept", error.exit_code
                )
            if waited >= min(_NOTICE, self._limit / 2) and not said:
                said = True
                note(f"no progress for {waited:.3g} s in {self._what}{_peers()}; given up after {self._limit:g} s")

    def _end(self, problem: str, code: int) -> NoReturn:
        self._finish(self._limit)
        complain(f"{problem}\n  fix: run it again, or with --resume, once the device and all processes answer")
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(code)  # the main thread cannot be reached


def _peers() -> str:
    """Who this is, where it is one of several."""
    size = os.environ.get("WORLD_SIZE", "1")
    if size == "1":
        return ""
    return f" (process {os.environ.get('RANK')} of {size}: another one, or the device, does not answer)"
