"""Short forms of the proofs in benchmarks/, and that they would find what they look for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from tests.helpers.forked_train import TrainServer
from tests.helpers.killed_run import Kill, Moment, kill_at
from tests.helpers.plain_cases import BOUND, DEMO, PUBLISHED, Case, Network, SideBySide, relative
from tests.helpers.same_runs import compare_runs
from tests.helpers.tiny_runs import TINY, train
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.engine.runs.writers import writing_run

SETTINGS = [*TINY, "optim.epochs=3", "ema.decay=0.9", "mix.mixup=0.2", "save.every=1", "save.keep=3", "train.workers=1"]
SMALL = ["clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "train.workers=0"]


@pytest.mark.thorough
def test_a_run_that_is_killed_and_resumed_ends_as_the_unbroken_one_to_the_last_bit(
    challenge: Path, tmp_path: Path
) -> None:
    whole, broken = (Run(tmp_path / name / "run") for name in ("whole", "broken"))
    log, changes = tmp_path / "log.txt", [word for setting in SETTINGS for word in ("--set", setting)]
    begin = ["demo_tin", "--data", str(challenge), "--name", "run", *changes]
    aims: list[tuple[Moment, int]] = [("write", 1), ("validation", 3), ("step", 4)]
    kills, random = list[Kill](), Random(0)
    with TrainServer() as server:
        unbroken = server.train(log, *begin, "--runs", str(whole.folder.parent))
        process = server.train(log, *begin, "--runs", str(broken.folder.parent))
        for moment, target in aims:
            kill = kill_at(moment, process, broken, target, random)
            assert kill is not None, log.read_text()
            kills.append(kill)
            process = server.train(log, "--resume", str(broken.folder))
        assert (process.wait(), unbroken.wait()) == (0, 0), log.read_text()
    result = compare_runs(whole, broken)
    assert result.differences == [], kills
    assert {"model", "optimizer", "ema", "metrics", "scalars", "histograms", "images"} <= set(result.compared)


@pytest.fixture(scope="module")
def finished(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with everything in it that is compared."""
    return train(challenge, tmp_path_factory.mktemp("finished"), "run", "ema.decay=0.9")


def flip_a_bit(run: Run, section: str) -> None:
    path = run.checkpoint("last")
    tensors, header = read_tensor_file(path)
    name = max(name for name in tensors if name.startswith(section))
    tensors[name].view(-1).view(torch.uint8)[0] ^= 1
    path.unlink()  # and not its other names
    write_tensor_file(path, tensors, header)


def lose_a_tensor(run: Run) -> None:
    tensors, header = read_tensor_file(run.checkpoint("best"))
    tensors.pop(max(name for name in tensors if name.startswith("optimizer.")))
    run.checkpoint("best").unlink()
    write_tensor_file(run.checkpoint("best"), tensors, header)


def change_the_best_value(run: Run) -> None:
    tensors, header = read_tensor_file(run.checkpoint("last"))
    header["progress"]["best"] += 1e-16
    run.checkpoint("last").unlink()
    write_tensor_file(run.checkpoint("last"), tensors, header)


def change_a_digit(run: Run) -> None:
    text = run.metrics_path.read_text()
    run.metrics_path.write_text(text[:-2] + ("1" if text[-2] != "1" else "2") + text[-1])


def repeat_a_row(run: Run) -> None:
    run.metrics_path.write_text(run.metrics_path.read_text() + run.metrics_path.read_text().splitlines()[-1] + "\n")


def add_a_scalar(run: Run, tag: str, step: int) -> None:
    with SummaryWriter(str(run.events), filename_suffix=".later") as writer:
        writer.add_scalar(tag, 0.5, step)


SPOILT: dict[str, Callable[[Run], object]] = {
    "model": lambda run: flip_a_bit(run, "model."),
    "ema": lambda run: flip_a_bit(run, "ema."),
    "optimizer": lambda run: flip_a_bit(run, "optimizer."),
    "tensor names": lose_a_tensor,
    "header": change_the_best_value,
    "metrics": change_a_digit,
    "metrics: ": repeat_a_row,
    "steps of scalars: train/loss": lambda run: add_a_scalar(run, "train/loss", 3),  # a duplicate
    "steps of scalars: train/waiting": lambda run: add_a_scalar(run, "train/waiting", 7),
    "tags": lambda run: add_a_scalar(run, "train/other", 1),
    "files: ['checkpoints/.a.tmp.safetensors']": lambda run: (run.checkpoints / ".a.tmp.safetensors").touch(),
    "files: recipe.toml": lambda run: run.recipe_path.write_text(run.recipe_path.read_text() + "\n"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("what", SPOILT)
def test_the_comparison_finds_what_differs(finished: Run, tmp_path: Path, what: str) -> None:
    other = Run(tmp_path / "run")
    shutil.copytree(finished.folder, other.folder)
    SPOILT[what](other)
    (difference,) = compare_runs(finished, other).differences
    assert difference.startswith(what)


def test_a_run_is_the_same_as_its_copy_and_not_as_one_of_another_seed(
    finished: Run, challenge: Path, tmp_path: Path
) -> None:
    copy = Run(tmp_path / "copy" / "run")
    shutil.copytree(finished.folder, copy.folder)
    assert compare_runs(finished, copy).differences == []
    other = train(challenge, tmp_path, "run", "ema.decay=0.9", "train.seed=1")
    found = {text.partition(":")[0] for text in compare_runs(finished, other).differences}
    assert {"model", "optimizer", "ema", "header", "metrics", "scalars", "histograms"} <= found


@pytest.mark.parametrize(
    ("case", "networks"), [(DEMO, ["tinkit"]), (PUBLISHED, ["tinkit", "plain"])], ids=["demo", "published"]
)
def test_a_plain_loop_has_the_same_losses(challenge: Path, tmp_path: Path, case: Case, networks: list[Network]) -> None:
    both = SideBySide(case, challenge, Run(tmp_path / "run"), 10, *SMALL)
    assert len(both.losses) == 10
    assert max(both.losses) - min(both.losses) > 0.01  # something was learnt
    for network in networks:
        assert max(relative(both.losses, both.plain(network))) < BOUND, network


@pytest.mark.parametrize("wrong", ["optim.momentum=0.91", "optim.weight_decay=0.01", "schedule.warmup_start=0.11"])
def test_a_plain_loop_finds_a_wrong_setting(challenge: Path, tmp_path: Path, wrong: str) -> None:
    both = SideBySide(PUBLISHED, challenge, Run(tmp_path / "run"), 4, *SMALL, wrong)
    assert max(relative(both.losses, both.plain("plain"))) > BOUND


def test_half_written_tables_of_a_killed_process_go(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for name in (".left_out.0a1b2c3d.tmp.csv", ".metrics.0a1b2c3d.tmp.csv", "notes.csv"):
        (tmp_path / name).write_text("epoch,id")
    with writing_run(run, World()):
        RunLog(run, Progress(), 0, validated=True).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "notes.csv"]
