"""Signals: a real process, asked to stop, saves after its step, says how to go on, and ends with the right code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tiny_runs import QUIET, TINY, resume, same_weights, tiny, train
from tinkit.data.clips.training import TrainClips
from tinkit.engine.distributed.signals import StopSignal
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.run import Run
from tinkit.engine.training.start import Trial, start_training
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import Interrupted, UserError


def wait_for(happened: object, process: subprocess.Popen[str]) -> None:
    """Wait until ``happened()`` is true while the process lives."""
    deadline = time.monotonic() + 60
    while not happened():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 75)])
def test_a_process_that_is_asked_to_stop_loses_nothing(challenge: Path, tmp_path: Path, name: str, code: int) -> None:
    changes = [part for key in [*TINY, "optim.epochs=400", "train.val_every=400"] for part in ("--set", key)]
    command = [sys.executable, "-m", "tinkit", "train", "demo_tin", "--data", str(challenge), "--name", "a", *changes]
    command += ["--set", "train.workers=1", "--runs", str(tmp_path)]
    # a group of its own: the signal reaches the loader's process as well, as a terminal's or a batch system's does
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    run = Run(tmp_path / "a")
    wait_for(lambda: len(run.step_paths()) > 1, process)
    os.killpg(process.pid, getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"go on: tinkit train --resume {tmp_path}/a" in err.replace("\n", "")
    assert "Traceback" not in err
    done = read_header(run.checkpoint("last"))["progress"]
    steps = 3 * done["epoch"] + done["step"]
    recipe = tiny(challenge, "optim.epochs=400", "train.val_every=400")
    whole = Run(tmp_path / "whole")
    start_training(whole, recipe, QUIET, trial=Trial(max_steps=steps))
    same_weights(whole.checkpoint("last"), run.checkpoint("last"))


@pytest.mark.slow
@pytest.mark.parametrize("when", ["in a step", "in validation"])
def test_a_stopped_run_goes_on_to_the_same_end(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    whole, broken = train(challenge, tmp_path, "whole", "test.batch=2"), Run(tmp_path / "broken")
    attribute = "_step" if when == "in a step" else "_validate"
    plain = getattr(Trainer, attribute)

    def interrupt(self: Trainer, *args: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, attribute, interrupt)
        with pytest.raises(Interrupted, match=r"go on: tinkit train --resume \S+broken") as caught:
            start_training(broken, tiny(challenge, "test.batch=2"), QUIET)
    assert caught.value.exit_code == 143
    done = read_header(broken.checkpoint("last"))["progress"]
    assert (done["epoch"], done["step"]) == ((0, 2) if when == "in a step" else (0, 3))
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    same_weights(whole.checkpoint("best"), broken.checkpoint("best"))


def test_handlers_are_put_back_and_a_second_ctrl_c_ends_it_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with StopSignal(patient=True) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def children() -> list[int]:
    """The processes that this one has started."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for the workers in /proc")
@pytest.mark.parametrize(("to_worker", "wished", "code"), [("SIGSTOP", "SIGTERM", 143), ("SIGKILL", None, 1)])
def test_a_run_without_its_data_worker_saves_what_was_trained(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_worker: str, wished: str | None, code: int
) -> None:
    """The worker is stopped or killed after a step; the run goes on to the same bits as one that was never hurt."""
    whole, broken = train(challenge, tmp_path, "whole", "train.workers=1"), Run(tmp_path / "broken")
    plain, workers, before = Trainer._step, list[int](), set(children())

    def hurt(self: Trainer, *args: Any) -> object:
        result = plain(self, *args)
        if self.done == 1:
            workers[:] = set(children()) - before
            for pid in workers:
                os.kill(pid, getattr(signal, to_worker))
            if wished:
                threading.Timer(0.5, os.kill, (os.getpid(), getattr(signal, wished))).start()
        return result

    def slowly(self: TrainClips, key: tuple[int, int]) -> Any:
        time.sleep(0.1)
        return item(self, key)

    item = TrainClips.__getitem__
    monkeypatch.setattr("tinkit.workers.team._LAST", 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", hurt)
        patch.setattr(TrainClips, "__getitem__", slowly)  # else it has made all batches before it is hurt
        with pytest.raises(UserError) as caught:
            start_training(broken, tiny(challenge, "train.workers=1"), QUIET)
    assert caught.value.exit_code == code
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    done = read_header(broken.checkpoint("last"))["progress"]
    assert done["epoch"] * 3 + done["step"] >= 1
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
