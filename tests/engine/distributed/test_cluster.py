"""The Slurm script and its page: the script runs here as two machines of one process; Slurm has stand-ins."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser
from typer.testing import CliRunner

from tests.helpers.places import ROOT
from tests.helpers.processes import WAIT, agent_store, children, running, together, until
from tests.helpers.tiny_runs import TINY, resumed, same_weights, tiny, trained
from tinkit.cli.app import app
from tinkit.engine.runs.run import Run
from tinkit.errors import Interrupted

DOCS = ROOT / "docs"
SCRIPT = DOCS / "slurm_2x8.sh"

SRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys
tasks = [subprocess.Popen(sys.argv[1:]) for _ in range(int(os.environ["SLURM_JOB_NUM_NODES"]))]
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, _: [task.send_signal(number) for task in tasks])
sys.exit(max(abs(task.wait()) for task in tasks))
"""

SCONTROL = """#!/bin/sh
case "$1 $2" in
  "show hostnames") echo localhost; echo localhost;;
  requeue*) echo "$2" >> "$FOLDER/requeued";;
esac
"""


def test_the_script_is_bash_and_asks_for_what_its_name_says() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", SCRIPT.read_text(), re.MULTILINE))
    assert (asked["nodes"], asked["ntasks-per-node"], asked["gpus-per-node"]) == ("2", "1", "8")
    signalled, seconds = re.fullmatch(r"B:(\w+)@(\d+)", asked["signal"]).groups()  # type: ignore[union-attr]
    assert signalled == "USR1"
    assert int(re.findall(r"SHUTDOWN_TIMEOUT=(\d+)", SCRIPT.read_text())[0]) < int(seconds)


def test_the_options_of_the_script_and_the_page_are_there() -> None:
    helps = [CliRunner().invoke(app, [word, "--help"], env={"COLUMNS": "200"}).output for word in ("train", "test")]
    written, known = (
        set(re.findall(r"--[a-z][\w-]+", text))
        for text in (
            SCRIPT.read_text() + (DOCS / "cluster.md").read_text(),
            "\n".join([get_args_parser().format_help(), *helps]),
        )
    )
    slurm = {"--job-name", "--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--signal"}
    slurm |= {"--requeue", "--open-mode"}
    assert written - known == slurm


def test_the_page_has_the_exit_codes() -> None:
    page = (DOCS / "cluster.md").read_text()
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    codes = [Interrupted("", number=number, fix="").exit_code for number in numbers]
    assert f"| {', '.join(map(str, codes))} |" in page
    assert f"| {Interrupted('', number=signal.SIGUSR1, fix='').exit_code}: try again |" in page


def free_job() -> int:
    """The number of a job whose port is free."""
    for job in count(os.getpid()):
        with socket.socket() as port:
            try:
                port.bind(("localhost", 20000 + job % 10000))
            except OSError:
                continue
            return job
    raise AssertionError


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which jobs run on stand-ins for Slurm's commands; what is put into the queue again is in requeued."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", str(free_job()))
    monkeypatch.setenv("SLURM_JOB_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    return tmp_path


@pytest.mark.thorough
def test_a_job_survives_a_lost_process_and_its_warning_and_ends_as_an_unbroken_run(
    challenge: Path, slurm: Path
) -> None:
    changes = ["optim.batch=2", "optim.epochs=4", "train.val_every=4", "save.every=4"]
    recipe, run = tiny(challenge, *changes, name="demo_tin"), Run(slurm / "demo_tin")
    words = [part for key in [*TINY, *changes] for part in ("--set", key)]
    command = ["bash", SCRIPT, "demo_tin", challenge, "--runs", slurm, *words]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=slurm)
    until(lambda: any(step >= 8 for step in run.step_paths()), job)
    launchers = children(children(job.pid)[0])
    before = [children(pid)[0] for pid in launchers]
    os.kill(before[1], signal.SIGKILL)
    at = max(run.step_paths())
    until(lambda: any(step >= at + 4 for step in run.step_paths()), job)
    after = [children(pid)[0] for pid in launchers]
    assert not set(before) & set(after)

    job.send_signal(signal.SIGUSR1)
    said = job.communicate(timeout=WAIT)[0]
    assert job.returncode == 75
    assert (slurm / "requeued").read_text() == os.environ["SLURM_JOB_ID"] + "\n"
    assert said.count("interrupted; what was trained is saved") == 1
    assert not [pid for pid in [*launchers, *after] if running(pid)]

    store, whole = agent_store(), Run(slurm / "whole")
    together(store, 2, trained, whole, recipe)
    together(store, 2, resumed, run, recipe)
    same_weights(whole.checkpoint("last"), run.checkpoint("last"))


@pytest.mark.parametrize("slow", ["trap", "kill", ""])
def test_a_job_that_fails_is_not_put_into_the_queue_again(
    slurm: Path, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the step ends before the script waits for it: one of bash's own commands is slowed down."""
    (slurm / "slow.sh").write_text(f'{slow}() {{ sleep 0.3; builtin {slow} "$@"; }}\n' if slow else "")
    monkeypatch.setenv("BASH_ENV", str(slurm / "slow.sh"))
    (slurm / "bin" / "srun").write_text("#!/bin/sh\nexit 7\n")
    assert subprocess.run(["bash", SCRIPT, "demo_tin", slurm]).returncode == 7
    assert not (slurm / "requeued").exists()
