"""What does not move: said, given up after its limit, ended after a signal; and what only takes long is let be."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.processes import Ended, Process, running
from tests.helpers.worker_tasks import begin
from tinkit.engine.distributed import launch
from tinkit.engine.distributed import stall as watch
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.distributed.stall import Watch
from tinkit.workers import Workers


def work(output: str, limit: float, script: list[str]) -> str:
    """Do the steps of ``script`` under a watch, with a worker beside; what it says goes to ``output``."""
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 2)
    watch._TICK, watch._GRACE = 0.05, 1.0
    workers = Workers(1, begin, what="test worker", describe=str)
    workers.give(0, "pid")
    Path(f"{output}.pid").write_text(str(workers.take()[1]))
    finished: list[float] = []

    def finish(seconds: float) -> None:
        Path(f"{output}.finished").write_text(str(seconds))

    with StopSignal() as stop, Watch(stop, limit, "a step", finish) as watching:
        for step in script:
            word, _, value = step.partition(" ")
            if word == "signal":
                os.kill(os.getpid(), int(value))
            elif word == "rest":
                with watching.paused():
                    time.sleep(float(value))
            else:
                time.sleep(float(value))
            watching.move()
        return f"{stop.number} {finished}"


def run(folder: Path, limit: float, *script: str) -> tuple[Ended, str, bool]:
    """How it ended, what it said, and whether what was being written was waited for; its worker has gone."""
    output = folder / "output"
    ended = Process(work, str(output), limit, list(script)).wait()
    pid = int(Path(f"{output}.pid").read_text())
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(pid)
    return ended, output.read_text(), Path(f"{output}.finished").exists()


def test_a_step_that_does_not_end_is_said_and_given_up(tmp_path: Path) -> None:
    ended, said, finished = run(tmp_path, 1.0, "step 0.2", "step 30")
    lines = said.splitlines()
    assert (ended.code, finished) == (1, True)
    assert re.fullmatch(r"no progress for 0\.\d+ s in a step; given up after 1 s", lines[0])
    assert lines[1] == "error: no progress for 1 s in a step"


@pytest.mark.thorough
def test_what_moves_or_waits_with_a_limit_of_its_own_is_let_be(tmp_path: Path) -> None:
    ended, said, finished = run(tmp_path, 1.5, *["step 0.4"] * 5, "rest 2.5", "step 0.4")
    assert (ended, said, finished) == (Ended(0, "0 []"), "", False)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 75), ("SIGHUP", 129)])
def test_a_signal_ends_a_step_that_does_not(tmp_path: Path, name: str, code: int) -> None:
    number = int(getattr(signal, name))
    ended, said, finished = run(tmp_path, 60, "step 0.1", f"signal {number}", "step 30")
    assert (ended.code, finished) == (code, True)
    assert said.startswith("error: interrupted, and a step does not end; what was saved is kept\n")


@pytest.mark.thorough
def test_a_step_that_takes_as_long_as_those_before_is_awaited(tmp_path: Path) -> None:
    ended, said, _ = run(tmp_path, 60, "step 2", f"signal {int(signal.SIGTERM)}", "step 2")
    assert (ended.value, said) == (f"{int(signal.SIGTERM)} []", "")


def test_a_signal_is_known_to_a_thread_before_python_handles_it() -> None:
    with StopSignal() as stop:
        assert stop.arrived() == 0
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.arrived() == stop.number == signal.SIGUSR1
    assert stop.arrived() == signal.SIGUSR1
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for signals that were not taken")
def test_a_stopped_process_is_killed_when_it_was_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_GLANCE", 0.05)
    monkeypatch.setattr(launch, "_DEAF", 0.2)
    asked, stopped, busy = (subprocess.Popen(["sleep", "60"]) for _ in range(3))
    try:
        with launch._killing_the_stopped():
            for process in (asked, stopped):
                process.send_signal(signal.SIGSTOP)
            while "T (stopped)" not in Path(f"/proc/{asked.pid}/status").read_text():
                time.sleep(0.01)
            asked.send_signal(signal.SIGTERM)
            assert asked.wait(20) == -signal.SIGKILL
            time.sleep(0.5)
            assert (stopped.poll(), busy.poll()) == (None, None)
    finally:
        for process in (asked, stopped, busy):
            process.kill()
            process.wait()
