"""Nothing hangs: real trainings are injured from outside, and their end is timed.

A case is survived when the process ends by itself within the bound, with the exit code that is documented, and nothing
that it has started runs any more. The bound is 10 s beyond the step under way, on a machine that is not busy.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from tinkit.data.synth import SynthSpec, synthesise

_BOUND = 10.0  # seconds
_WAIT = 90.0  # seconds until a training has begun, and until one that hangs is ended
_LIMIT = 4.0  # seconds: train.stall_limit where that is tried
_RECIPE = [
    "clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "optim.epochs=400",
    "train.val_every=400", "test.batch=2",
]  # fmt: skip


@dataclass(frozen=True)
class _Case:
    kind: str
    case: str
    code: int
    injure: Callable[[int], None]
    """Called with the process, which has begun to train."""
    workers: int = 2
    gpus: int = 1
    changes: tuple[str, ...] = ()
    method: str = "fork"
    files: int = 0
    """``ulimit -n``; 0: as it is."""
    extra: float = 0.0
    """Seconds beyond the bound that are stated: a limit."""


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Try every case once, at a moment drawn from ``seed``."""
    draw, data = random.Random(seed), folder / "data"
    synthesise(SynthSpec("mmit", clips=48, val=16, test=8, seed=seed, size=48, frames=12), data, workers=0)
    for number, case in enumerate(_cases()):
        yield _try(case, folder / str(number), data, draw.uniform(0, 1.5))


def _cases() -> Iterator[_Case]:
    kind, limit = "a data worker is killed", (f"train.stall_limit={_LIMIT}",)
    for count in (1, 2, 3):
        yield _Case(kind, f"{count} workers", 1, _once(_worker, signal.SIGKILL), count)
    yield _Case(kind, "2 workers, spawned", 1, _once(_worker, signal.SIGKILL), method="spawn")
    yield _Case(kind, "2 processes", 1, _once(_worker_of_rank_1, signal.SIGKILL), 1, 2)
    kind = "a data worker is stopped"
    for name, code in (("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 75), ("SIGHUP", 129)):
        yield _Case(kind, f"then {name}", code, _then(_worker, getattr(signal, name)))
    yield _Case(kind, "its limit", 1, _once(_worker, signal.SIGSTOP), changes=limit, extra=_LIMIT)
    yield _Case(kind, "2 processes, then SIGTERM", 143, _then(_worker_of_rank_1, signal.SIGTERM), 1, 2)
    yield _Case("the main process is killed", "a worker is stopped", -9, _then(_worker, signal.SIGKILL))
    kind = "a process of two is stopped"
    for rank in (0, 1):
        yield _Case(kind, f"rank {rank}, then SIGTERM", 143, _then(partial(_rank, rank), signal.SIGTERM), 1, 2)
    yield _Case(kind, "rank 1: its limit", 1, _once(partial(_rank, 1), signal.SIGSTOP), 1, 2, limit, extra=_LIMIT)
    yield _Case("too few open files", "ulimit -n 24", 1, lambda pid: None, files=24)


def _try(case: _Case, folder: Path, data: Path, moment: float) -> Outcome:
    folder.mkdir()
    process = _start(case, folder, data)
    try:
        begun = bool(case.files) or _has_begun(process, folder)
        time.sleep(moment)
        started = _tree(process.pid)
        if begun and process.poll() is None:
            case.injure(process.pid)
        at = time.monotonic()
        return _judged(case, process, started, at, folder)
    finally:
        for pid in (process.pid, *_tree(process.pid)):
            _send(pid, signal.SIGKILL)
        process.wait()


def _judged(case: _Case, process: subprocess.Popen[bytes], started: list[int], at: float, folder: Path) -> Outcome:
    try:
        process.wait(_WAIT)
    except subprocess.TimeoutExpired:
        return Outcome(case.kind, case.case, False, note="hangs")
    seconds = time.monotonic() - at
    deadline = time.monotonic() + 5
    while (left := [pid for pid in started if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    said = (folder / "said").read_text()
    notes = [f"exit code {process.returncode}, not {case.code}"] * (process.returncode != case.code)
    notes += [f"{len(left)} processes left"] * bool(left) + ["a traceback"] * ("Traceback" in said)
    notes += ["says nothing"] * (case.code > 0 and "error: " not in said)
    if not case.files:  # there all the time goes into the start
        notes += ["too late"] * (seconds > _BOUND + 2 * case.extra)
    return Outcome(case.kind, case.case, not notes, None if case.files else seconds, note="; ".join(notes))


def _start(case: _Case, folder: Path, data: Path) -> subprocess.Popen[bytes]:
    changes = [*_RECIPE, f"train.workers={case.workers}", *case.changes]
    words = ["train", "demo_tin", "--data", str(data), "--name", "a", "--runs", str(folder), "--quiet"]
    words += [word for change in changes for word in ("--set", change)]
    words += ["--gpus", str(case.gpus)] * (case.gpus > 1)
    code = "import multiprocessing, sys\nif __name__ == '__main__':\n"
    code += f"    multiprocessing.set_start_method({case.method!r})\n    from tinkit.cli.app import main\n    main()\n"
    script = folder / "train.py"
    script.write_text(code)
    command = [sys.executable, *(["-m", "tinkit"] if case.gpus > 1 else [str(script)]), *words]
    if case.files:
        command = ["sh", "-c", f'ulimit -n {case.files}; exec "$@"', "sh", *command]
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def _has_begun(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Wait until a whole epoch is trained."""
    deadline = time.monotonic() + _WAIT
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((folder / "a" / "checkpoints").glob("step-*"))) > 1 and _tree(process.pid):
            return True
        time.sleep(0.02)
    return False


def _once(whom: Callable[[int], int], number: int) -> Callable[[int], None]:
    """Send a process a signal."""
    return lambda pid: _send(whom(pid), number)


def _then(whom: Callable[[int], int], number: int) -> Callable[[int], None]:
    """Stop a process, and a second later send the first one a signal."""

    def injure(pid: int) -> None:
        _send(whom(pid), signal.SIGSTOP)
        time.sleep(1)
        _send(pid, number)

    return injure


def _worker(pid: int) -> int:
    return _workers(pid)[0]


def _rank(number: int, pid: int) -> int:
    return _children(pid)[number]


def _worker_of_rank_1(pid: int) -> int:
    return _workers(_rank(1, pid))[0]


def _workers(pid: int) -> list[int]:
    """The data workers, waiting for them where an epoch has just ended; not multiprocessing's resource tracker."""
    for _ in range(2000):
        found = [child for child in _children(pid) if "resource_tracker" not in _text(f"/proc/{child}/cmdline")]
        if found:
            return found
        time.sleep(0.005)
    raise TimeoutError("no data worker was started")


def _children(pid: int) -> list[int]:
    return [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in _text(str(file)).split()]


def _tree(pid: int) -> list[int]:
    return [one for child in _children(pid) for one in (child, *_tree(child))]


def _runs(pid: int) -> bool:
    status = _text(f"/proc/{pid}/status")
    return bool(status) and "\nState:\tZ" not in status


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
