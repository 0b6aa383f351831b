"""What workers of tests do. Imported by spawned processes, so it needs little."""

from __future__ import annotations

import gc
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from tinkit.workers import Alive, Carried, Work


def begin(number: int) -> Work:
    return partial(work, number)


def work(number: int, task: Any, alive: Alive) -> Any:
    """What a task's first word says, with what follows it."""
    match task:
        case "pid":
            return os.getpid()
        case "collect":
            gc.collect()
        case "own memory":
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        case ("number", value):
            return number, value
        case ("raise", error):
            raise error
        case "unpicklable":
            raise type("LocalError", (Exception,), {})("no pickle of it")
        case "lambda":
            return lambda: None
        case ("sleep", seconds):
            time.sleep(seconds)
        case ("busy", seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.02)
                alive()
        case ("exit", code):
            os._exit(code)
        case ("die", number):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            os.kill(os.getpid(), number)
        case ("file", size):
            descriptor = os.memfd_create("test")
            os.write(descriptor, b"x" * size)
            return Carried(size, descriptor)
    return task
