"""Writers of runs: each killed before every call that it makes to the system, and met by a second one.

A kill is survived if what has a name is whole afterwards and the same command ends as if nothing had been, with no
temporary, lock or half-made folder left. A meeting is survived if the second writer of an output says who the first is
and changes nothing, and if writers of two outputs do not meet.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.runs.checkpoint import Progress, check_checkpoint, load_weights
from tinkit.engine.runs.checkpoint_writer import newest_good
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.run import create_run
from tinkit.engine.runs.weights import average_steps, load_run_weights
from tinkit.engine.runs.writers import writing_run
from tinkit.engine.training.auto_resume import can_resume
from tinkit.errors import UserError
from tinkit.files.atomic import write_atomic
from tinkit.recipe import Recipe
from tinkit.scores import read_scores

from .calls import killed_before_each_call
from .outcome import Outcome
from .run_folder import QUIET, left_behind, run_in, save_step, small_state, trained_in
from .run_locks import lock_matrix, three_at_once


@dataclass(frozen=True)
class Writer:
    """What a command does in a folder: ``act`` may be done again after a kill; ``check`` raises unless all is there."""

    act: Callable[[Path], object]
    check: Callable[[Path], None]


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


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """All cases, in an empty ``folder``; nothing is drawn."""
    data, trained, recipe = trained_in(folder)
    yield from kill_matrix(folder.absolute(), trained, recipe)
    yield from lock_matrix(folder.absolute(), trained)
    yield from three_at_once(folder.absolute(), data)
