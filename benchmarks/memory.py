"""What a call takes in a process of its own: processor time, and memory."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path

_GLANCE = 0.02  # seconds from one look at the memory to the next


def seconds_and_peak(call: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of ``call`` in a forked process, and the most MiB of its own memory (without the pages of files)."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        peak, done = 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(_GLANCE):
                text = Path("/proc/self/status").read_text()
                peak = max(peak, int(text.partition("RssAnon:")[2].split()[0]) / 1024)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.process_time()
        call()
        seconds = time.process_time() - start
        done.set()
        watcher.join()
        theirs.send((seconds, peak))

    process = context.Process(target=run)
    process.start()
    theirs.close()  # so that a child that dies is an end of file here, and not a wait
    found: tuple[float, float] = ours.recv()
    process.join()
    return found
