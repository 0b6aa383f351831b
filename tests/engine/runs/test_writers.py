"""One writer for a run and for each of its outputs: meetings, kills at any call, linked folders, disks that refuse."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinkit.engine.evaluation.test
import tinkit.engine.exchange.imported
import tinkit.files.locks
from benchmarks.faults.run_folder import left_behind, run_in, save_step
from benchmarks.faults.run_locks import held, state_of
from benchmarks.faults.run_writers import Writer, kill_outcomes, small_writers
from tests.helpers.tiny_runs import QUIET, TINY, tiny, train
from tinkit.engine.distributed.world import World
from tinkit.engine.evaluation.features import features_of_split
from tinkit.engine.evaluation.partial import Block, Blocks
from tinkit.engine.evaluation.score import Scored
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.exchange.imported import WORD, import_checkpoint
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.engine.runs.weights import average_steps
from tinkit.engine.runs.writers import writing_file, writing_result, writing_run
from tinkit.engine.training.start import TuneFrom, start_training
from tinkit.errors import UserError
from tinkit.files.locks import InUseError, writing
from tinkit.recipe import load_recipe
from tinkit.scores import read_scores


@pytest.fixture(scope="module")
def trained(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(challenge, folder / "runs", "a", "optim.epochs=2", steps=1)
    return folder


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "base"))


def test_a_second_writer_is_refused_and_changes_nothing(base: Path, challenge: Path) -> None:
    run = run_in(base)
    recipe = run.load_recipe()
    scores = run.scores_path("val", "1x1", "last")
    features = run.folder / "features" / scores.name
    acts: dict[Path, Callable[[], object]] = {
        run.folder: lambda: start_training(run, recipe, QUIET, resume=True),
        scores: lambda: run_test(run, "val", recipe.test, "last", QUIET),
        features: lambda: features_of_split(run, "last", "val", recipe.test, QUIET),
        base / "runs" / "new": lambda: start_training(Run(base / "runs" / "new"), recipe, QUIET),
    }
    for output, act in acts.items():
        (output if output.suffix == "" else output.parent).mkdir(parents=True, exist_ok=True)
        child = held(output)
        before = state_of(base)
        with pytest.raises(InUseError, match=f"in use by process {child.pid} on host"):
            act()
        assert state_of(base) == before
        child.communicate()
    assert left_behind(base) == []
    assert not (base / "runs" / "new" / "recipe.toml").exists()


def test_writers_of_different_outputs_do_not_meet(base: Path) -> None:
    run = run_in(base)
    recipe = run.load_recipe()
    with writing_run(run, World()), writing_file(run.scores_path("val", "1x1", "last")):
        assert run_test(run, "test", recipe.test, "last", QUIET).clips == 8


def test_a_result_among_a_runs_checkpoints_waits_for_its_training(base: Path, tmp_path: Path) -> None:
    run = run_in(base)
    with writing_run(run, World()):
        with pytest.raises(InUseError), writing_result(run.checkpoint("best")):
            pass
        with writing_result(tmp_path / "best.safetensors"):
            pass
    with writing_result(run.checkpoint("best")):
        pass
    assert left_behind(base) == []


def test_what_is_up_to_date_is_told_while_another_writes_and_where_nothing_can_be_written(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(base)
    views = run.load_recipe().test
    path = run_test(run, "val", views, "last", QUIET).path
    with writing(path):
        assert run_test(run, "val", views, "last", QUIET).path == path
    plain = os.open

    def read_only(name: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(name))
        return plain(name, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert run_test(run, "val", views, "last", QUIET).path == path
    for act in (
        lambda: run_test(run, "val", views, "last", QUIET, TestRequest(force=True)),
        lambda: start_training(run, run.load_recipe(), QUIET, resume=True),
    ):
        with pytest.raises(UserError, match=r"cannot be written: Read-only file system\n.*what was there is unchanged"):
            act()


def test_a_full_disk_is_said_before_anything_is_done(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = state_of(base)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UserError, match="the disk is full"):
        start_training(run_in(base), run_in(base).load_recipe(), QUIET, resume=True)
    assert state_of(base) == before


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with writing_run(Run(tmp_path / "runs" / "a"), World()):
        assert (tmp_path / "runs" / "a").is_dir()
    assert list(tmp_path.iterdir()) == []
    with writing_file(tmp_path / "scores" / "a.arrow") as _:
        (tmp_path / "scores" / "a.arrow").touch()
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["a.arrow"]
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is a link that leads nowhere"), writing_run(Run(tmp_path / "b"), World()):
        pass


def test_leftovers_go_with_the_lock_of_what_they_are_of(tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    run.checkpoints.mkdir(parents=True)
    mine = [run.folder / ".metrics.0a1b2c3d.tmp.csv", run.checkpoints / ".last.0a1b2c3d.tmp.safetensors"]
    others = [run.checkpoints / ".mean=2.0a1b2c3d.tmp.safetensors", run.folder / ".notes", run.folder / ".x.tmp.csv"]
    for path in (*mine, *others):
        path.touch()
    with writing_run(run, World()):
        assert not any(path.exists() for path in mine)
    with writing_file(run.checkpoint("mean=2")):
        pass
    assert [path.exists() for path in others] == [False, True, True]


def test_a_linked_run_is_one_run(base: Path, challenge: Path) -> None:
    run = run_in(base)
    (disk := base / "disk17").mkdir()
    (base / "runs" / "linked").symlink_to(disk)
    linked = Run(base / "runs" / "linked")
    start_training(linked, run.load_recipe(), replace(QUIET, runs=base / "runs"), tune_from=TuneFrom("a"))
    assert sorted(path.name for path in (base / "runs").iterdir()) == ["a", "linked"]
    assert (disk / "checkpoints" / "last.safetensors").is_file()
    result = run_test(linked, "val", linked.load_recipe().test, "last", QUIET)
    assert result.info.run == "linked"
    assert result.path.resolve().is_relative_to(disk)
    with writing_run(Run(disk), World()), pytest.raises(InUseError):
        start_training(linked, linked.load_recipe(), QUIET, resume=True)


def test_the_mean_waits_for_another_that_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run("a", load_recipe("demo_tin").recipe, tmp_path)
    for step in (1, 2):
        save_step(run, step)
    held_lock = writing(run.checkpoint("mean=2"))
    held_lock.__enter__()
    waits = []

    def end(seconds: float) -> None:
        waits.append(seconds)
        held_lock.__exit__(None, None, None)

    monkeypatch.setattr(tinkit.files.locks.time, "sleep", end)
    assert average_steps(run, 2).is_file()
    assert len(waits) == 1


def test_a_checkpoint_is_not_adopted_into_a_run_in_training(
    base: Path, challenge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tinkit.engine.exchange.imported, "in_turn", lambda writer: writer())
    new = Run(base / "runs" / "new")
    recipe = run_in(base).load_recipe()
    with writing_run(new, World()), pytest.raises(InUseError):
        import_checkpoint(run_in(base).checkpoint("last"), recipe, recipe.data, "val", new, QUIET.reporter)


@pytest.mark.parametrize("name", ["metrics.csv, left_out.csv, a list of clips", "mean=K"])
def test_a_writer_that_is_killed_at_any_call_ends_at_the_next_try(tmp_path: Path, challenge: Path, name: str) -> None:
    """Shortest writers only: the proof has them all."""
    recipe, before = load_recipe("demo_tin", TINY, challenge).recipe, tmp_path / "before"
    save_step(create_run("a", recipe, before / "runs"), 0)
    if name == "mean=K":
        save_step(run_in(before), 5)
    outcomes = list(kill_outcomes(name, small_writers(recipe)[name], before, tmp_path / "killed"))
    assert len(outcomes) > 15
    assert [outcome for outcome in outcomes if not outcome.survived] == []


def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's scores come from nothing, block by block: what is left is what it writes."""
    values = np.arange(8 * 12, dtype=np.float32).reshape(8, 12)

    def score(*_: object, blocks: Blocks, **__: object) -> Scored:
        done = sum(len(block.values) for block in blocks.restore())
        if not done:
            blocks.save(Block(0, values, {}))
        return Scored(values, np.ones(8, bool), {}, {}, made=8 - done, seconds=2.0)

    nothing = SimpleNamespace(eval=lambda: None)
    monkeypatch.setattr(
        tinkit.engine.evaluation.test, "load_model", lambda run, word, *_: (nothing, None, run.checkpoint(word))
    )
    monkeypatch.setattr(tinkit.engine.evaluation.test, "prepare_to_test", lambda _: None)
    monkeypatch.setattr(tinkit.engine.evaluation.test, "Pixels", lambda *_, **__: None)
    monkeypatch.setattr(tinkit.engine.evaluation.test, "score_split", score)


@pytest.mark.thorough
def test_a_test_that_is_killed_at_any_call_ends_at_the_next_try(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run_in(base).events)
    without_a_network(monkeypatch)

    def act(folder: Path) -> None:
        run = run_in(folder)
        run_test(run, "val", run.load_recipe().test, "last", QUIET)

    def check(folder: Path) -> None:
        assert len(read_scores(run_in(folder).scores_path("val", "1x1", "last"))) == 8

    outcomes = list(kill_outcomes("a test", Writer(act, check), base, tmp_path / "killed"))
    assert len(outcomes) > 25
    assert [outcome for outcome in outcomes if not outcome.survived] == []


def test_a_checkpoint_that_its_training_replaces_meanwhile_is_not_mistaken(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score file would name the hash of one checkpoint, and hold the scores of another."""
    run, plain = run_in(base), tinkit.engine.evaluation.test.load_model

    def load(run: Run, word: str, *rest: Any) -> Any:
        save_again(run)
        return plain(run, word, *rest)

    def save_again(run: Run) -> None:
        tensors, header = read_tensor_file(run.checkpoint(WORD))
        write_tensor_file(run.checkpoint(WORD), tensors, header | {"again": True})

    monkeypatch.setattr(tinkit.engine.evaluation.test, "load_model", load)
    with pytest.raises(UserError, match="was replaced by its training"):
        run_test(run, "val", run.load_recipe().test, WORD, QUIET)
    assert not list((run.folder / "scores").rglob("*"))


def begin_at(barrier: Any, root: Path, runs: Path) -> None:
    barrier.wait()
    try:
        start_training(Run(runs / "a"), tiny(root), QUIET, again=True)
    except InUseError:
        sys.exit(7)


def test_three_trainings_of_one_name_begin_and_one_trains(challenge: Path, tmp_path: Path) -> None:
    """As a batch system that starts a job twice does; one that comes late may find the work done."""
    forks = multiprocessing.get_context("fork")
    barrier = forks.Barrier(3)
    three = [forks.Process(target=begin_at, args=(barrier, challenge, tmp_path)) for _ in range(3)]
    for process in three:
        process.start()
    for process in three:
        process.join()
    codes = sorted(process.exitcode for process in three if process.exitcode is not None)
    assert codes in ([0, 7, 7], [0, 0, 7], [0, 0, 0])
    assert read_header(Run(tmp_path / "a").checkpoint("last"))["progress"]["epoch"] == 2
    assert left_behind(tmp_path) == []
