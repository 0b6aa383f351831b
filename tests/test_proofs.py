"""Short forms of the proofs in benchmarks/: a killed run ends as an unbroken one, and what would show that it does not."""

from __future__ import annotations

import random
from pathlib import Path

from forked_train import ForkedTrain
from killed_run import Kill, Moment, kill_at
from same_runs import compare_runs
from tiny_runs import TINY

from tinkit.engine.run import Run

SETTINGS = [*TINY, "optim.epochs=4", "ema.decay=0.9", "mix.mixup=0.2", "save.every=1", "save.keep=3", "train.workers=1"]


def begin(root: Path, run: Run) -> ForkedTrain:
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    where = ["--data", str(root), "--runs", str(run.folder.parent), "--name", run.name]
    return ForkedTrain(root.parent / "log.txt", "demo_tin", "-q", *where, *changes)


def test_a_run_that_is_killed_and_resumed_ends_as_the_unbroken_one_to_the_last_bit(
    challenge: Path, tmp_path: Path
) -> None:
    whole, broken = (Run(tmp_path / name / "run") for name in ("whole", "broken"))
    unbroken = begin(challenge, whole)
    process, kills, generator = begin(challenge, broken), list[Kill](), random.Random(0)
    aims: list[tuple[Moment, int]] = [("write", 2), ("validation", 3), ("step", 7)]
    for moment, target in aims:
        kill = kill_at(moment, process, broken, target, generator)
        assert kill is not None, f"ended before it could be killed: {kills}"
        kills.append(kill)
        process = ForkedTrain("--resume", str(broken.folder), "-q")
    assert process.wait() == 0
    assert unbroken.wait() == 0
    result = compare_runs(whole, broken)
    assert result.differences == [], kills
    assert {"model", "optimizer", "ema", "metrics", "scalars", "histograms", "images"} <= set(result.compared)
    print(kills, result.compared)
