"""Writers of runs: each killed before every call that it makes to the system, and met by a second one.

A kill is survived if what has a name is whole afterwards and the same command ends as if nothing had been, with no
temporary, lock or half-made folder left. A meeting is survived if the second writer of an output says who the first is
and changes nothing, and if writers of two outputs do not meet.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinkit.data.synth import SynthSpec, synthesise
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.exchange.export import export_run
from tinkit.engine.runs.checkpoint import Progress, check_checkpoint, load_weights, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper, newest_good
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.runs.weights import average_steps, load_run_weights
from tinkit.engine.runs.writers import writing_run
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.auto_resume import can_resume
from tinkit.engine.training.start import start_training
from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.recipe import Recipe, load_recipe
from tinkit.recipe.training import SaveConfig
from tinkit.scores import read_scores

from .calls import killed_before_each_call
from .outcome import Outcome

QUIET = Session(reporter=Reporter(quiet=True))
TINY = [
    *("clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "optim.epochs=2"),
    *("train.workers=0", "model.dropout=0.5", "ema.decay=0.5", "save.every=1", "save.keep=3"),
]


@dataclass(frozen=True)
class Writer:
    """What a command does in a folder: ``act`` may be done again after a kill; ``check`` raises unless all is there."""

    act: Callable[[Path], object]
    check: Callable[[Path], None]


def run_in(folder: Path) -> Run:
    return Run(folder / "runs" / "a")


def small_state(step: int, *, ema: bool = False) -> nn.Linear:
    torch.manual_seed(step + 100 * ema)
    return nn.Linear(4, 4)


def save_step(run: Run, step: int, *also: str) -> None:
    model = small_state(step)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    taken = snapshot(model, Progress(step=step), {"classes": []}, optimizer=optimizer, ema=small_state(step, ema=True))
    with Keeper(run, SaveConfig(keep=9)) as keeper:
        keeper.save(taken, step, also)


def small_writers(recipe: Recipe) -> dict[str, Writer]:
    """The writers that a training is made of, on a network of one layer."""

    def begin(folder: Path) -> None:
        run = run_in(folder)
        with writing_run(run, World()):
            if not can_resume(run, recipe):
                create_run(run.name, recipe, run.folder.parent)
                write_atomic(run.weights_path, "{}\n")
                save_step(run, 0)

    def begun(folder: Path) -> None:
        assert run_in(folder).load_recipe() == recipe
        path, passed = newest_good(run_in(folder))
        assert path is not None
        assert passed == []
        assert check_checkpoint(path)["progress"]["step"] == 0

    def save(folder: Path) -> None:
        with writing_run(run_in(folder), World()):
            save_step(run_in(folder), 1, "best", "best-ema")

    def saved(folder: Path) -> None:
        for word in ("last", "best", "best-ema"):
            state, *_ = load_run_weights(run_in(folder), word)
            wanted = small_state(1, ema=word == "best-ema").state_dict()
            assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items()), word

    def tables(folder: Path) -> None:
        run = run_in(folder)
        with writing_run(run, World()):
            log = RunLog(run, Progress(), 0, validated=True)
            log.left_out(0, [("c 1", "broken"), ("0002", 'a "quoted", reason')])
            log.epoch({"epoch": 0, "step": 3, "train_loss": 0.5})
            write_atomic(run.non_finite_path(3), "id\nc 1\n")
            log.close()

    def listed(folder: Path) -> None:
        run = run_in(folder)
        assert run.metrics_path.read_text() == "epoch,step,train_loss\n0,3,0.5\n"
        assert run.left_out_path.read_text() == 'epoch,id,reason\n0,c 1,broken\n0,0002,"a ""quoted"", reason"\n'
        assert run.non_finite_path(3).read_text() == "id\nc 1\n"

    def mean(folder: Path) -> None:
        average_steps(run_in(folder), 2)

    def averaged(folder: Path) -> None:
        state = load_weights(run_in(folder).checkpoint("mean=2"))
        both = [small_state(step).state_dict() for step in (0, 5)]
        for name, tensor in state.items():
            assert torch.allclose(tensor, (both[0][name] + both[1][name]) / 2)

    return {
        "the beginning of a run": Writer(begin, begun),
        "a checkpoint": Writer(save, saved),
        "metrics.csv, left_out.csv, a list of clips": Writer(tables, listed),
        "mean=K": Writer(mean, averaged),
    }


def scoring_writers() -> dict[str, Writer]:
    """The writers of what a trained run says of a split."""

    def test(folder: Path) -> None:
        run = run_in(folder)
        run_test(run, "val", run.load_recipe().test, "last", QUIET, TestRequest(keep_views=True))

    def tested(folder: Path) -> None:
        scores = run_in(folder).folder / "scores"
        whole = read_scores(scores / "val-1x1-last.arrow")
        single = read_scores(scores / "views" / "val-1x1-last" / "view-00.arrow")
        assert len(whole) == 8
        assert np.array_equal(whole.scores, single.scores)

    def features(folder: Path) -> None:
        run = run_in(folder)
        features_of_split(run, "last", "val", run.load_recipe().test, QUIET)

    def seen(folder: Path) -> None:
        assert (run_in(folder).folder / "features" / "val-1x1-last.arrow").is_file()

    return {"a score file": Writer(test, tested), "a feature file": Writer(features, seen)}


def left_behind(folder: Path) -> list[str]:
    """What a command must not leave: temporaries, locks, half-made folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


def kill_outcomes(name: str, writer: Writer, before: Path, scratch: Path) -> Iterator[Outcome]:
    """Kill a writer before each of its calls and do the same again."""
    kind = "kill in a run's writer, then the same command"
    for number, folder in enumerate(killed_before_each_call(before, scratch, writer.act), 1):
        problem = ""
        try:
            for path in folder.glob("runs/a/checkpoints/[!.]*"):
                check_checkpoint(path)
            writer.act(folder)
            writer.check(folder)
            problem = ", ".join(left_behind(folder))
        except (UserError, AssertionError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        yield Outcome(kind, f"{name}, call {number}", not problem, note=problem[:200])
        shutil.rmtree(folder)


def kill_matrix(folder: Path, trained: Path, recipe: Recipe) -> Iterator[Outcome]:
    for number, (name, writer) in enumerate(small_writers(recipe).items()):
        before = folder / f"before-{number}"
        before.mkdir()
        if name != "the beginning of a run":
            create_run("a", recipe, before / "runs")
            save_step(run_in(before), 0)
        if name == "mean=K":
            save_step(run_in(before), 5)
        yield from kill_outcomes(name, writer, before, folder / f"small-{number}")
    for number, (name, writer) in enumerate(scoring_writers().items()):
        yield from kill_outcomes(name, writer, trained, folder / f"scoring-{number}")


def state_of(folder: Path) -> dict[str, str]:
    """The files below a folder, locks apart, with the hash of each."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def held(output: Path) -> subprocess.Popen[str]:
    """Another process that writes ``output``."""
    code = (
        "import sys; from tinkit.files.locks import writing\n"
        "with writing(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def lock_matrix(folder: Path, trained: Path) -> Iterator[Outcome]:
    """Every writer of a run's outputs against every lock: refused where the output is the same, else not."""
    base = folder / "locks"
    shutil.copytree(trained, base)
    run = run_in(base)
    recipe = run.load_recipe()
    out = base / "net.pt2"
    acts: dict[str, tuple[Path, Callable[[], object]]] = {
        "train": (run.folder, lambda: start_training(run, recipe, QUIET, resume=True)),
        "test val": (
            run.scores_path("val", "1x1", "last"),
            lambda: run_test(run, "val", recipe.test, "last", QUIET, TestRequest(force=True)),
        ),
        "test test": (
            run.scores_path("test", "1x1", "last"),
            lambda: run_test(run, "test", recipe.test, "last", QUIET, TestRequest(force=True)),
        ),
        "features": (
            run.folder / "features" / "val-1x1-last.arrow",
            lambda: features_of_split(run, "last", "val", recipe.test, QUIET),
        ),
        "export": (out, lambda: export_run(run, "last", "torch", None, out)),
    }
    for locked, (output, _) in acts.items():
        output.parent.mkdir(parents=True, exist_ok=True)
        child = held(output)
        for name, (_, act) in acts.items():
            if name == "features":  # a file that is up to date would just be told of
                acts[name][0].unlink(missing_ok=True)
            before, told = state_of(base), ""
            try:
                act()
            except UserError as error:
                told = error.problem
            same = name == locked
            refused = told.startswith(f"in use by process {child.pid} on host")
            kept = state_of(base) == before
            good = (refused and kept) if same else not told
            yield Outcome("two writers at once", f"{name} while another process does: {locked}", good, note=told[:120])
        child.communicate()
        yield Outcome("two writers at once", f"{locked}: nothing is left of the lock", not left_behind(base))


def three_at_once(folder: Path, data: Path) -> Iterator[Outcome]:
    """``train --auto-resume`` three times at once: one trains, two say so; then once more, after a kill."""
    command = [sys.executable, "-m", "tinkit", "train", "demo_tin", "--data", str(data), "--name", "a", "--auto-resume"]
    command += ["--runs", str(folder / "three"), "-q", *(word for change in TINY for word in ("--set", change))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    three = [started() for _ in range(3)]
    told = [process.communicate()[1] for process in three]
    codes = sorted(process.returncode for process in three)
    # one that comes when another has ended finds its work done
    good = set(codes) <= {0, 1} and 0 in codes and not any("Traceback" in text for text in told)
    good &= all(
        ("in use by process" in text) == (process.returncode == 1) for process, text in zip(three, told, strict=True)
    )
    run = Run(folder / "three" / "a")
    whole = check_checkpoint(run.checkpoint("last"))["progress"]["epoch"] == 2
    yield Outcome("two writers at once", "train --auto-resume three times", good and whole, note=f"exit codes {codes}")
    shutil.rmtree(folder / "three")
    first = started()
    deadline = time.monotonic() + 120
    while not run.checkpoint("last").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = started()
    text = second.communicate()[1]
    clean = not left_behind(folder / "three")
    good = second.returncode == 0 and clean
    yield Outcome(
        "two writers at once", "train --auto-resume after SIGKILL", good, note=text[-120:] if not good else ""
    )


def trained_in(folder: Path) -> tuple[Path, Path, Recipe]:
    """A small challenge, a folder with the run ``a`` that five of six steps were trained in, and its recipe."""
    folder = folder.absolute()
    data, trained = folder / "data", folder / "trained"
    synthesise(SynthSpec("mmit", clips=24, val=8, test=8, seed=3, size=48, frames=12), data, workers=0)
    recipe = load_recipe("demo_tin", TINY, data).recipe
    start_training(run_in(trained), recipe, QUIET, trial=Trial(max_steps=5))
    return data, trained, recipe


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """All cases, in an empty ``folder``; nothing is drawn."""
    data, trained, recipe = trained_in(folder)
    yield from kill_matrix(folder.absolute(), trained, recipe)
    yield from lock_matrix(folder.absolute(), trained)
    yield from three_at_once(folder.absolute(), data)
