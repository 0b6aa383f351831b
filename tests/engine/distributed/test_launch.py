"""Starting several processes: exit codes, signals, what is killed, beginning again; and nothing is left behind.

The processes are small scripts without PyTorch, but for one whole training.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.processes import WAIT, Ended, Process, agent_store, children, running, together, until
from tests.helpers.tiny_runs import TINY, resumed, same_weights, tiny, trained
from tinkit.engine.distributed.launch import failure_of, launch, launched
from tinkit.engine.distributed.signals import StopSignal, stop_signals
from tinkit.engine.runs.run import Run
from tinkit.errors import SaidElsewhere, UsageError

PREFACE = """
import os, signal, sys, time
from pathlib import Path
rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
got = []
def note(number, frame):
    got.append(number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(number, note)
Path(f"pid-{rank}-{attempt}").write_text(str(os.getpid()))
def both():
    while not all(Path(f"pid-{other}-{attempt}").exists() for other in range(2)):
        time.sleep(0.01)
def stopped():
    while not got:
        time.sleep(0.01)
    time.sleep(0.3)
    Path(f"got-{rank}").write_text(" ".join(map(str, got)))
both()
"""


class Launched:
    """``launch`` in a process of its own: two processes of a script, in ``folder``."""

    def __init__(self, folder: Path, script: str, restarts: int = 0, *, nohup: bool = False) -> None:
        self.folder, self.output = folder / "in", folder / "output"
        self.folder.mkdir()
        (folder / "tmp").mkdir()
        file = folder / "script.py"
        file.write_text(PREFACE + script)
        self.process = Process(
            _launch, self.folder, self.output, str(file), restarts, nohup, TMPDIR=str(folder / "tmp")
        )

    def wait_for(self, *names: str) -> None:
        """Wait until the scripts have made these files."""
        while not all((self.folder / name).exists() for name in names):
            assert self.process.alive()
            time.sleep(0.01)

    def end(self) -> Ended:
        """How it ended, when nothing it started runs any more and nothing is left in the folder for such."""
        ended = self.process.wait()
        pids = [int(path.read_text()) for path in self.folder.glob("pid-*")]
        assert not [pid for pid in pids if running(pid)]
        assert not list((self.folder.parent / "tmp").iterdir())
        return ended


def _launch(folder: Path, output: Path, script: str, restarts: int, nohup: bool) -> None:
    os.chdir(folder)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)  # however these tests were started
    launch([sys.executable, "-S", script], 2, restarts)


def test_all_end_well(tmp_path: Path) -> None:
    whole = Launched(tmp_path, "print('said by', rank, os.environ['WORLD_SIZE'], os.environ['LOCAL_RANK'])")
    assert whole.end() == Ended(0)
    assert sorted(whole.output.read_text().splitlines()) == ["said by 0 2 0", "said by 1 2 1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "code"),
    [("sys.exit(3 if rank else 0)", 3), ("sys.exit(2 - rank)", 2), ("sys.exit(3) if rank else stopped()", 3)],
)
def test_the_code_of_the_process_that_failed(tmp_path: Path, script: str, code: int) -> None:
    whole = Launched(tmp_path, script)
    ended = whole.end()
    assert (ended.code, ended.raised and ended.raised[0]) == (code, "SaidElsewhere")
    assert not whole.output.read_text()
    if "stopped" in script:
        assert (whole.folder / "got-0").read_text() == str(int(signal.SIGTERM))


@pytest.mark.parametrize("first", ["os.kill(os.getpid(), signal.SIGKILL) if rank else sys.exit(1)", "os.abort()"])
def test_a_process_that_was_killed_is_named(tmp_path: Path, first: str) -> None:
    ended = Launched(tmp_path, f"{first} if rank else stopped()" if "abort" in first else first).end()
    assert ended.raised is not None
    assert ended.raised[:2] == ("UserError", 1)
    assert f"process 1 of 2 was killed by signal {6 if 'abort' in first else 9} (" in ended.raised[2]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGUSR1", 75), ("SIGHUP", 129)])
def test_a_signal_reaches_every_process_once(tmp_path: Path, name: str, code: int) -> None:
    whole = Launched(tmp_path, "stopped(); sys.exit(7)", restarts=3)
    whole.wait_for("pid-0-0", "pid-1-0")
    time.sleep(0.2)
    whole.process.send(getattr(signal, name))
    ended = whole.end()
    assert (ended.code, ended.raised and ended.raised[0]) == (code, "SaidElsewhere")
    assert [(whole.folder / f"got-{rank}").read_text() for rank in (0, 1)] == [str(int(getattr(signal, name)))] * 2
    assert not (whole.folder / "pid-0-1").exists()
    assert not whole.output.read_text()


@pytest.mark.slow
def test_nohup_keeps_all_processes_alive(tmp_path: Path) -> None:
    whole = Launched(tmp_path, "time.sleep(0.5); sys.exit(len(got))", nohup=True)
    whole.wait_for("pid-0-0", "pid-1-0")
    time.sleep(0.2)
    whole.process.send(signal.SIGHUP)
    assert whole.end() == Ended(0)


@pytest.mark.slow
def test_all_begin_again_as_often_as_allowed(tmp_path: Path) -> None:
    killed = "os.kill(os.getpid(), signal.SIGKILL) if rank and attempt < 2 else None"
    for number, (restarts, code) in enumerate([(2, 0), (1, 1)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        whole = Launched(folder, killed, restarts)
        assert whole.end().code == code
        assert len(list(whole.folder.glob("pid-*"))) == 2 * (restarts + 1)


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        ({0: (1, 10), 1: (-9, 10), 2: (1, 10), 3: (-15, 10)}, "process 1 of 4 was killed by signal 9"),
        ({0: (-15, 11), 1: (-15, 11), 2: (-11, 10), 3: (-15, 11)}, "process 2 of 4 was killed by signal 11"),
        ({0: (-15, 10)}, "process 0 of 4 was killed by signal 15"),
        ({0: (-9, 41), 1: (-9, 41), 2: (2, 10), 3: (-15, 10)}, 2),  # the launcher killed the first two, much later
        ({0: (2, 10), 1: (1, 10), 3: (1, 10)}, 2),
        ({0: (-15, 10), 1: (75, 10), 2: (-15, 10)}, 75),
    ],
)
def test_who_is_named_of_several_that_failed(failed: dict[int, tuple[int, int]], said: str | int) -> None:
    """``failed`` has exit code and second by rank; they are told of in any order."""
    for order in itertools.permutations(failed):
        error = failure_of(
            {rank: SimpleNamespace(exitcode=failed[rank][0], timestamp=failed[rank][1]) for rank in order}, 4
        )
        assert isinstance(error, SaidElsewhere) == isinstance(said, int)
        assert said in (error.exit_code, str(error)[: len(str(said))])


def test_what_is_not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not launched(None, 0)
    assert not launched(1, 0)
    with pytest.raises(UsageError, match="several processes"):
        launched(None, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launched(2, 5)
    assert not launched(None, 0)
    with pytest.raises(UsageError, match="leave out --gpus"):
        launched(3, 0)


def test_a_stop_signal_leaves_nohup_alone_and_tells_of_a_closed_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stop_signals()
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number == 0
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number == signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


# ---- a whole training


@pytest.mark.thorough
def test_a_training_is_killed_begins_again_is_stopped_and_ends_as_an_unbroken_one(
    challenge: Path, tmp_path: Path
) -> None:
    changes = ["optim.batch=2", "optim.epochs=4", "train.val_every=4", "save.every=4", "train.workers=1"]
    recipe, run = tiny(challenge, *changes), Run(tmp_path / "a")
    words = [part for key in [*TINY, *changes] for part in ("--set", key)]
    command = [sys.executable, "-m", "tinkit", "train", "demo_tin", "--data", str(challenge), "--name", "a", *words]
    command += ["--runs", str(tmp_path), "--gpus", "2", "--max-restarts", "1", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: any(step >= 8 for step in run.step_paths()), process)
    first = children(process.pid)
    everything = [child for pid in first for child in children(pid)]  # data workers
    os.kill(first[1], signal.SIGKILL)
    at = max(run.step_paths())
    until(lambda: any(step >= at + 4 for step in run.step_paths()), process)
    second = children(process.pid)
    assert len(second) == 2
    assert not set(first) & set(second)
    everything += second + [child for pid in second for child in children(pid)]
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 75
    assert not out
    lines = err.splitlines()
    assert [line.split(" (")[0] for line in lines if "error: " in line] == [
        "error: another process of this run has ended", f"error: {run.folder}: interrupted; what was trained is saved",
    ]  # fmt: skip
    assert lines[-1] == f"  fix: resume with: tinkit train --resume {run.folder} --gpus 2"
    assert len(lines) == 4
    assert not [pid for pid in everything if running(pid)]

    store, whole = agent_store(), Run(tmp_path / "whole")
    together(store, 2, trained, whole, recipe)
    together(store, 2, resumed, run, recipe)
    same_weights(whole.checkpoint("last"), run.checkpoint("last"))
