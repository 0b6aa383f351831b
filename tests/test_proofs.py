"""Short forms of the proofs in benchmarks/, and that they would find what they look for."""

from __future__ import annotations

from pathlib import Path
from random import Random

from forked_train import TrainServer
from killed_run import Kill, Moment, kill_at
from same_runs import compare_runs
from tiny_runs import TINY

from tinkit.engine.run import Run

SETTINGS = [*TINY, "optim.epochs=3", "ema.decay=0.9", "mix.mixup=0.2", "save.every=1", "save.keep=3", "train.workers=1"]


def test_a_run_that_is_killed_and_resumed_ends_as_the_unbroken_one_to_the_last_bit(
    challenge: Path, tmp_path: Path
) -> None:
    whole, broken = (Run(tmp_path / name / "run") for name in ("whole", "broken"))
    log, changes = tmp_path / "log.txt", [word for setting in SETTINGS for word in ("--set", setting)]
    begin = ["demo_tin", "--data", str(challenge), "--name", "run", *changes]
    aims: list[tuple[Moment, int]] = [("write", 1), ("validation", 3), ("step", 5)]
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
    print(kills)
