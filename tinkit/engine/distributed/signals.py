"""Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP as a wish to stop that training asks about between two steps."""

from __future__ import annotations

import signal
import socket
import threading
from types import FrameType, TracebackType
from typing import Any

# SIGUSR1 is how batch systems announce the end of a job's time, SIGHUP tells of a closed terminal; Windows has neither
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")


def stop_signals() -> list[int]:
    """The signals that ask this process to stop; not SIGHUP where the process is to outlive its terminal (nohup)."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    hang_up = getattr(signal, "SIGHUP", None)
    return [number for number in numbers if number != hang_up or signal.getsignal(number) != signal.SIG_IGN]


class StopSignal:
    """While entered, the first such signal is kept in ``number`` (0: none came) instead of ending the process.

    It may be entered again, and then begins anew. A second Ctrl-C ends the process at once, unless ``patient``:
    torchrun passes signals on, so that they may come twice there.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.number = 0
        self._patient = patient
        self._before: dict[int, Any] = {}
        self._heard: socket.socket | None = None
        self._arrived = 0

    def __enter__(self) -> StopSignal:
        self.number = self._arrived = 0
        if threading.current_thread() is threading.main_thread():  # elsewhere Python does not allow it
            self._heard, self._told = socket.socketpair()
            for end in (self._heard, self._told):
                end.settimeout(0)
            self._wakeup_before = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
            for number in stop_signals():
                self._before[number] = signal.signal(number, self._handle)
        return self

    def arrived(self) -> int:
        """The first such signal, 0 if none came: known to any thread at once, wherever the main one waits."""
        if self._heard is not None and not self._arrived:
            try:
                numbers = self._heard.recv(4096)
            except OSError:  # none, or this was left meanwhile
                numbers = b""
            self._arrived = next((number for number in numbers if number in self._before), 0)
        return self.number or self._arrived

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._heard is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._heard.close()
            self._told.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT and not self._patient:
            raise KeyboardInterrupt
        self.number = self.number or number
