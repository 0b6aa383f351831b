"""What a kill at any moment leaves of a run's checkpoints: whole files, and one to go on from."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.helpers.kept_runs import files, save, step_of
from tinkit.engine.runs.checkpoint import check_checkpoint, read_header
from tinkit.engine.runs.checkpoint_writer import newest_good
from tinkit.engine.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


KILLED_AT_EVERY_CALL = """
    import os, pathlib, shutil, signal, sys
    import torch
    from torch import nn
    from tinkit.engine.runs.checkpoint import Progress, snapshot
    from tinkit.recipe.training import SaveConfig
    from tinkit.engine.runs.checkpoint_writer import Keeper
    from tinkit.engine.runs.run import Run

    base = pathlib.Path(sys.argv[1])

    def state(step):
        model = nn.Linear(8, 8)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        return snapshot(model, Progress(step=step, best=step), {}, optimizer=optimizer)

    def save(run, step):
        with Keeper(run, SaveConfig(keep=1)) as keeper:
            keeper.save(state(step), step, ("best",))

    save(Run(base / "before"), 1)
    calls, fatal = 0, None

    def deadly(function):
        def call(*arguments, **options):
            global calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    for name in ("open", "link", "unlink", "replace", "fsync", "chmod"):
        setattr(os, name, deadly(getattr(os, name)))
    pathlib.Path.open = deadly(pathlib.Path.open)

    for number in range(1, 1000):
        folder = base / f"killed-{number}"
        shutil.copytree(base / "before", folder)
        child = os.fork()
        if child == 0:
            calls, fatal = 0, number
            save(Run(folder), 2)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:  # it ended before that call
            break
    print(number)
"""


def script(text: str, *arguments: Path) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]


def one_thread() -> dict[str, str]:
    return dict(os.environ) | {"OMP_NUM_THREADS": "1"}


def check_after_kill(run: Run) -> int:
    """A run that was killed while it wrote: all that has a name is whole; returns the step to go on from."""
    for path in run.checkpoints.glob("[!.]*"):
        check_checkpoint(path)
    found, damaged = newest_good(run)
    assert found is not None
    assert damaged == []
    last, best = (read_header(run.checkpoint(which))["progress"] for which in ("last", "best"))
    assert best["step"] >= last["best"]  # what ``last`` says of the best is there
    return int(read_header(found)["progress"]["step"])


@pytest.mark.thorough
def test_a_kill_at_any_call_to_the_system_leaves_whole_files(tmp_path: Path) -> None:
    done = subprocess.run(script(KILLED_AT_EVERY_CALL, tmp_path), capture_output=True, text=True, env=one_thread())
    assert done.returncode == 0, done.stderr
    killed = [Run(tmp_path / f"killed-{call}") for call in range(1, int(done.stdout))]
    assert len(killed) > 10
    steps = [check_after_kill(run) for run in killed]
    assert steps == sorted(steps)
    assert set(steps) == {1, 2}
    for run in killed:
        save(run, 3, "best", keep=1)
        assert files(run) == ["best", "last", "step-00000003"]


KILLED_WHILE_WRITING = """
    import pathlib, sys
    import torch
    from tinkit.engine.runs.checkpoint import Progress, snapshot
    from tinkit.recipe.training import SaveConfig
    from tinkit.engine.runs.checkpoint_writer import Keeper
    from tinkit.engine.runs.run import Run

    model = torch.nn.Linear(2048, 2048)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Keeper(Run(pathlib.Path(sys.argv[1])), SaveConfig()) as keeper:
        for step in range(1, 1000):
            also = ("best",) if step % 2 else ()
            best = step - 1 + step % 2
            keeper.save(snapshot(model, Progress(step=step, best=best), {}, optimizer=optimizer), step, also)
"""


def test_a_kill_in_mid_write_leaves_whole_files(run: Run) -> None:
    process = subprocess.Popen(script(KILLED_WHILE_WRITING, run.folder), env=one_thread())
    try:
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline
            time.sleep(0.001)
            parts = [size(path) for path in run.checkpoints.glob(".step-*.tmp.safetensors")]
            steps = run.step_paths()
            if len(steps) == 2 and max(steps) > 2 and any(part > 1 << 20 for part in parts):
                break
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert check_after_kill(run) >= 2
    save(run, 1000, "best")
    assert not [name for name in files(run) if name.startswith(".")]


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.thorough
def test_a_main_thread_that_dies_lets_the_write_end(run: Run) -> None:
    text = KILLED_WHILE_WRITING.replace("range(1, 1000)", "(1,)").replace("with Keeper(", "if keeper := Keeper(")
    text = text.replace(") as keeper:", "):") + "    raise SystemExit(3)\n"
    assert subprocess.run(script(text, run.folder), env=one_thread()).returncode == 3
    assert step_of(run, "last") == 1
