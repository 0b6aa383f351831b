"""Workers: killed, stopped, silent or left alone in the middle, nothing waits for them for ever and nothing is left."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.places import ROOT
from tests.helpers.processes import running
from tests.helpers.worker_tasks import begin
from tinkit.errors import Interrupted, UserError
from tinkit.workers import WorkerLostError, Workers, each, files
from tinkit.workers.channel import Kind, head_of

METHODS = multiprocessing.get_all_start_methods()


@pytest.fixture
def make() -> Iterator[Callable[..., Workers]]:
    """Makes workers that end with the test."""
    made: list[Workers] = []

    def one(count: int, method: str = "fork", **options: Any) -> Workers:
        context = multiprocessing.get_context(method)
        made.append(Workers(count, begin, what="test worker", describe=str, context=context, **options))
        return made[-1]

    yield one
    for workers in made:
        workers.close()


def pids(workers: Workers) -> list[int]:
    """The processes."""
    for number in range(len(workers)):
        workers.give(number, "pid")
    return [workers.take(number)[1] for number in range(len(workers))]


def test_a_collection_in_a_fork_does_not_copy_what_it_inherits(make: Callable[..., Workers]) -> None:
    inherited = [[number] for number in range(200_000)]  # some 20 MB, all of which a collection would write to
    workers = make(1)
    workers.give(0, "own memory")
    before = workers.take(0)[1]
    workers.give(0, "collect")
    workers.take(0)
    workers.give(0, "own memory")
    assert workers.take(0)[1] - before < 10_000_000
    assert len(inherited) == 200_000


@pytest.mark.parametrize("method", METHODS)
def test_results_come_in_the_order_of_each_workers_tasks(make: Callable[..., Workers], method: str) -> None:
    workers = make(3, method)
    for value in range(30):
        workers.give(value % 3, ("number", value))
    assert [workers.take(value % 3) for value in range(30)] == [(v % 3, (v % 3, v)) for v in range(30)]
    processes = pids(workers)
    assert len(set(processes)) == 3
    workers.close()
    assert not [pid for pid in processes if running(pid)]


def test_every_task_is_done_once_whoever_does_it(make: Callable[..., Workers]) -> None:
    workers = make(3)
    done = dict(each(workers, (("number", value) for value in range(100))))
    assert {task: result[1] for task, result in done.items()} == {("number", v): v for v in range(100)}
    assert list(each(make(2), [])) == []
    assert len(list(each(make(3), [("number", 1)]))) == 1


def test_large_tasks_and_results_pass(make: Callable[..., Workers]) -> None:
    """Larger than a socket takes at once, in both directions at the same time."""
    workers, tasks = make(2), [bytes([number]) * 3_000_000 for number in range(6)]
    for number, task in enumerate(tasks):
        workers.give(number % 2, task)
    assert [workers.take(number % 2)[1] for number in range(6)] == tasks


def test_open_files_pass_and_none_is_left_open(make: Callable[..., Workers]) -> None:
    held = set(Path("/proc/self/fd").iterdir())
    workers = make(2)
    for size in (0, 1, 100_000, 7, 8, 9):
        workers.give(size % 2, ("file", size))
    carried = workers.take(0)[1]
    assert (carried.value, os.fstat(carried.descriptor).st_size) == (0, 0)
    os.close(carried.descriptor)
    workers.give(0, "pid")
    while not workers._workers[1].replies:
        time.sleep(0.05)
        workers._read(0)
    workers.close()
    assert set(Path("/proc/self/fd").iterdir()) == held


@pytest.mark.parametrize(("method", "idle"), [("fork", True), ("fork", False), ("spawn", False)])
def test_a_killed_worker_is_told_at_once(make: Callable[..., Workers], method: str, idle: bool) -> None:
    workers = make(2, method)
    first, second = pids(workers)
    for number in range(2):
        if not (idle and number == 1):
            workers.give(number, ("sleep", 30))
    os.kill(second, signal.SIGKILL)
    begun = time.monotonic()
    with pytest.raises(WorkerLostError, match=rf"a test worker \(process {second}\) was killed by signal 9") as caught:
        workers.take(0)
    assert time.monotonic() - begun < 10
    assert ("('sleep', 30)" in str(caught.value)) == (not idle)
    assert "memory ran out" in str(caught.value)
    workers.close()
    assert not running(first)


@pytest.mark.parametrize(
    ("task", "said"),
    [(("exit", 3), "has ended with exit code 3"), (("die", signal.SIGSEGV), r"killed by signal 11 \(Segmentation")],
)
def test_how_a_worker_ended_is_told(make: Callable[..., Workers], task: Any, said: str) -> None:
    workers = make(1)
    workers.give(0, task)
    with pytest.raises(WorkerLostError, match=said):
        workers.take()


def test_a_stopped_worker_is_given_up_after_the_limit_and_said_before(
    make: Callable[..., Workers], caplog: pytest.LogCaptureFixture
) -> None:
    workers = make(2, give_up=1.0)
    processes = pids(workers)
    os.kill(processes[1], signal.SIGSTOP)
    for number in range(2):
        workers.give(number, "pid")
    assert workers.take(0)[1] == processes[0]
    with caplog.at_level(logging.WARNING), pytest.raises(WorkerLostError, match=r"no sign of life for 1 s, at pid"):
        workers.take(1)
    assert [f"process {processes[1]}" in record.getMessage() for record in caplog.records] == [True]
    workers.close()
    assert not [pid for pid in processes if running(pid)]


@pytest.mark.slow
def test_who_is_slow_and_alive_is_not_given_up(make: Callable[..., Workers]) -> None:
    workers = make(1, give_up=1.5)
    workers.give(0, ("busy", 2.0))
    assert workers.take() == (0, ("busy", 2.0))
    workers.give(0, ("sleep", 30))
    with pytest.raises(WorkerLostError):
        workers.take()


def test_a_signal_to_stop_ends_a_wait(make: Callable[..., Workers]) -> None:
    wish = SimpleNamespace(number=0)
    workers = make(1, wish=wish)
    workers.give(0, ("sleep", 60))
    wish.number = signal.SIGTERM
    with pytest.raises(Interrupted) as caught:
        workers.take()
    assert caught.value.exit_code == 143
    late = make(1, wish=wish)
    late.give(0, ("sleep", 0.3))  # what comes soon is still taken
    assert late.take() == (0, ("sleep", 0.3))


def test_what_the_work_raises_is_raised(make: Callable[..., Workers]) -> None:
    workers = make(1)
    workers.give(0, ("raise", OSError(28, "No space left on device", "/here")))
    with pytest.raises(OSError, match="No space left") as caught:
        workers.take()
    assert (caught.value.errno, caught.value.filename) == (28, "/here")
    assert "in a test worker:\nTraceback" in caught.value.__notes__[0]
    workers.give(0, ("raise", UserError("wrong", fix="mend it", file="list.txt")))
    with pytest.raises(UserError, match=r"list.txt: wrong\n  fix: mend it") as told:
        workers.take()
    assert told.value.fix == "mend it"
    for task in ("unpicklable", "lambda"):
        workers.give(0, task)
        with pytest.raises((RuntimeError, pickle.PicklingError, AttributeError), match="pickle"):
            workers.take()
    workers.give(0, 5)
    assert workers.take() == (0, 5)  # and it goes on


def test_a_forked_child_leaves_the_workers_alone(make: Callable[..., Workers]) -> None:
    workers = make(2)
    before = pids(workers)
    child = multiprocessing.get_context("fork").Process(target=lambda: None)
    child.start()
    child.join()
    assert pids(workers) == before


ALONE = """
import multiprocessing, os, signal, sys, time
sys.path[:0] = [{tests!r}]
from tests.helpers.worker_tasks import begin
from tinkit.workers import Workers, each

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    workers = Workers(2, begin, what="test worker", describe=str)
    for number in range(2):
        workers.give(number, "pid")
    processes = [workers.take(number)[1] for number in range(2)]
    print(*processes, flush=True)
    {rest}
"""
ENDS = {
    "it just ends": "pass",
    "an exception": "raise ValueError('of the script')",
    "a worker is stopped": "os.kill(processes[0], signal.SIGSTOP)",
    "a worker is busy": "workers.give(0, ('sleep', 60)); time.sleep(0.2)",
    "in a generator": "at = each(workers, ['pid'] * 9); next(at); time.sleep(0.1)",
    "SIGKILL": "os.kill(processes[0], signal.SIGSTOP); os.kill(os.getpid(), signal.SIGKILL)",
    "os._exit": "os.kill(processes[0], signal.SIGSTOP); os._exit(0)",
    "SIGTERM": "os.kill(processes[0], signal.SIGSTOP); os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize(
    ("method", "end"), [*(("fork", end) for end in ENDS), ("spawn", "a worker is stopped"), ("spawn", "SIGKILL")]
)
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, method: str, end: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(ALONE.format(tests=str(ROOT), method=method, rest=ENDS[end]))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    processes = [int(word) for word in done.stdout.split()]
    assert len(processes) == 2, done.stderr
    deadline = time.monotonic() + 10
    while [pid for pid in processes if running(pid)] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in processes if running(pid)]
    code = {"an exception": 1, "SIGKILL": -9, "SIGTERM": -15}.get(end, 0)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("Traceback") == (end == "an exception"), done.stderr


def test_too_few_files_are_told_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    held = len(list(Path("/dev/fd").iterdir()))
    limits = [(0, 0)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    limits[:] = [(held, held)]
    with pytest.raises(UserError, match=rf"are needed with 2 workers, and the limit is {held}"):
        files.require_files(2)
    limits[:] = [(held, 4096)]  # what one may do oneself is done
    files.require_files(2)
    assert held < limits[-1][0] < held + 64
    assert limits[-1][1] == 4096
    limits[:] = [(1024, 1024)]
    files.require_files(2)
    assert limits == [(1024, 1024)]


def test_a_message_says_its_length() -> None:
    assert head_of(b"\x05\0\0\0\0\0\0\0" + bytes([Kind.VALUE])) == 5
