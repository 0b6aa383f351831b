"""What a competitor adds to a training: more clips, averages, soft labels, several seeds, trials; and going on."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.tiny_runs import QUIET, TINY, resume, same_weights, tiny, train
from tinkit.cli.app import app
from tinkit.data.config.views import ViewConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.test import run_test
from tinkit.engine.runs.checkpoint import load_weights, read_header
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.training.auto_resume import goes_on
from tinkit.engine.training.dry_run import dry_run
from tinkit.engine.training.start import Trial, start_training
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import UsageError, UserError
from tinkit.scores import read_scores


def test_training_on_val_too_is_marked_and_validates_nothing(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "both", 'train.splits=["train", "val"]')
    header = read_header(run.checkpoint("last"))
    assert header["info"]["trained_on"] == ["train", "val"]
    assert header["info"]["clips"]["count"] == 24 + 8
    assert header["progress"]["metrics"] == {}
    assert not run.checkpoint("best").exists()
    table = pd.read_csv(run.metrics_path)
    assert table["step"].tolist() == [4, 8]
    assert not [name for name in table.columns if name.startswith("val_")]
    result = run_test(run, "val", ViewConfig(scale=32, crop=32), "last", QUIET)
    assert read_scores(result.path).info.trained_on == ("train", "val")


def test_the_average_of_weights_is_the_formula_and_is_validated(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "a", "ema.decay=0.9", "save.every=1", "save.keep=9")
    weights = [load_weights(run.checkpoint(f"step={step}")) for step in range(1, 7)]
    average = copy.deepcopy(weights[0])  # timm begins the average at the first update
    for new in weights[1:]:
        for name, tensor in new.items():
            average[name] = average[name] * 0.9 + tensor * 0.1 if tensor.is_floating_point() else tensor
    for name, tensor in load_weights(run.checkpoint("last"), ema=True).items():
        assert torch.allclose(tensor, average[name], rtol=1e-4, atol=1e-6), name
    table = pd.read_csv(run.metrics_path)
    progress = read_header(run.checkpoint("last"))["progress"]
    assert progress["best_ema"] == pytest.approx(table["val_ema_sample_map"].max())
    views = ViewConfig(scale=32, crop=32)
    for word, column in (("last", "val_sample_map"), ("ema", "val_ema_sample_map")):
        result = run_test(run, "val", views, word, QUIET)
        assert result.metrics is not None
        assert result.metrics.values["sample_map"] == pytest.approx(table[column].iloc[-1], abs=1e-6)
    best = run_test(run, "val", views, "best-ema", QUIET)
    assert best.metrics is not None
    assert best.metrics.values["sample_map"] == pytest.approx(table["val_ema_sample_map"].max(), abs=1e-6)


def test_an_averaged_run_resumes_to_the_same_bits(challenge: Path, tmp_path: Path) -> None:
    changes = ["ema.decay=0.9", "ema.warmup=true", "mix.mixup=0.4", "mix.cutmix=1.0"]
    whole = train(challenge, tmp_path, "whole", *changes)
    broken = train(challenge, tmp_path, "broken", *changes, steps=2)
    torch.manual_seed(99)
    resume(broken)
    for ema in (False, True):
        same_weights(whole.checkpoint("last"), broken.checkpoint("last"), ema=ema)
    same_weights(whole.checkpoint("best-ema"), broken.checkpoint("best-ema"), ema=True)


def test_a_damaged_checkpoint_is_passed_over_aloud(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(challenge, tmp_path, "whole", "save.every=1")
    broken = train(challenge, tmp_path, "broken", "save.every=1", steps=5)
    data = bytearray(broken.checkpoint("last").read_bytes())
    data[len(data) // 2] ^= 1
    with broken.checkpoint("last").open("r+b") as file:  # in place: its other names have the same bytes
        file.write(data)
    start_training(broken, broken.load_recipe(), Reporter(), resume=True)
    told = capsys.readouterr().err
    assert "last.safetensors is passed over: its checksum is wrong" in told
    assert "going on from step-00000004.safetensors" in told
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    for path in broken.checkpoints.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint of the run is whole"):
        resume(broken)


def test_the_rate_falls_on_a_plateau_and_remembers_it(challenge: Path, tmp_path: Path) -> None:
    changes = ["schedule.kind=plateau", "schedule.patience=0", "schedule.warmup_epochs=0", "optim.epochs=4"]
    changes += ["optim.lr=1e-9", "schedule.factor=0.5"]  # nothing can get better after the first validation
    whole = train(challenge, tmp_path, "whole", *changes)
    broken = train(challenge, tmp_path, "broken", *changes, steps=8)
    resume(broken)
    for run in (whole, broken):
        rates = pd.read_csv(run.metrics_path)["lr"] / 1e-9
        assert rates.tolist() == pytest.approx([1, 1, 0.5, 0.25])
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))


def test_soft_labels_are_mixed_into_the_loss(challenge: Path, tmp_path: Path) -> None:
    teacher = train(challenge, tmp_path, "teacher")
    scores = run_test(teacher, "train", ViewConfig(scale=32, crop=32), "last", QUIET).path
    recipe = tiny(challenge, f"loss.soft_labels={scores}", "loss.soft_weight=0.3", "model.dropout=0")
    trainer = Trainer(create_run("a", recipe, tmp_path), recipe, open_manifest(recipe.data, "train"), None, QUIET)
    batch = next(iter(trainer.batches()))
    with torch.no_grad():
        logits = copy.deepcopy(trainer.model).train()(trainer.train_step._pixels(batch["frames"]))
    taught = torch.from_numpy(read_scores(scores).scores[batch["index"].numpy()]).sigmoid()
    target = 0.7 * batch["labels"] + 0.3 * taught
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert trainer.train_step(batch, 0).loss == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.slow
def test_overfitting_a_few_clips_validates_on_them(challenge: Path, tmp_path: Path) -> None:
    recipe = tiny(challenge, "optim.batch=4", "optim.epochs=60", "train.val_every=60", "model.dropout=0")
    run = Run(tmp_path / "few")
    start_training(run, recipe, QUIET, trial=Trial(overfit=4))
    progress = read_header(run.checkpoint("last"))
    assert progress["info"]["clips"]["count"] == 4
    assert progress["progress"]["metrics"]["sample_map"] > 0.95


def test_a_dry_run_measures_and_keeps_nothing(challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = dry_run(tiny(challenge, "optim.micro_batch=2"), QUIET)
    assert (row["batch"], row["processes"], row["pieces"], row["micro_batch"]) == (8, 1, 4, 2)
    assert row["steps an epoch"] == 3
    recipe = tiny(challenge)
    trainer = Trainer(create_run("x", recipe, tmp_path), recipe, open_manifest(recipe.data, "train"), None, QUIET)
    assert row["parameters"] == sum(parameter.numel() for parameter in trainer.model.parameters())
    assert row["s/step"] * 3 / 60 == pytest.approx(row["min/epoch"])
    assert row["GiB of a process"] > 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_dry_run_finds_what_is_wrong_with_weights(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(challenge, tmp_path, "first", "optim.epochs=2")
    first, other = str(run.checkpoint("last")), tiny(challenge, "model.backbone=test_efficientnet")
    dry_run(tiny(challenge), Reporter(quiet=False), tune_from=first, runs=tmp_path)
    assert f"{first}: layout tinkit" in capsys.readouterr().err
    with pytest.raises(UserError, match="another backbone"):
        dry_run(other, QUIET, tune_from=first)
    with pytest.raises(UserError, match="another backbone"):
        dry_run(tiny(challenge, "model.backbone=test_efficientnet", f"model.pretrained={first}"), QUIET)
    with pytest.raises(UserError, match=r"none\.pth"):
        dry_run(tiny(challenge), QUIET, tune_from="none.pth")


def test_several_seeds_make_a_run_each_and_a_table(challenge: Path, tmp_path: Path) -> None:
    changes = [part for key in TINY for part in ("--set", key)]
    command = ["train", "demo_tin", "--data", str(challenge), "--runs", str(tmp_path), *changes, "--seeds", "2", "-q"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["run"] for row in rows] == ["demo_tin-seed0", "demo_tin-seed1", "mean", "std"]
    values = [row["sample_map"] for row in rows]
    assert values[2] == pytest.approx(np.mean(values[:2]))
    assert values[3] == pytest.approx(np.std(values[:2], ddof=1))
    first, second = (load_weights(Run(tmp_path / row["run"]).checkpoint("last")) for row in rows[:2])
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step-*")}
    again = CliRunner().invoke(app, [*command, "--json"])  # what is done is not done again
    assert json.loads(again.stdout) == rows
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step-*")}


def test_going_on_by_itself_wants_the_same_recipe(challenge: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "demo_tin")
    assert not goes_on(run, tiny(challenge))
    whole = train(challenge, tmp_path, "whole")
    start_training(run, tiny(challenge), QUIET, trial=Trial(max_steps=2))
    assert goes_on(run, tiny(challenge, "train.workers=2"))
    with pytest.raises(UsageError, match=r"other values of optim\.lr"):
        goes_on(run, tiny(challenge, "optim.lr=0.3"))
    changes = [part for key in TINY for part in ("--set", key)]
    command = ["train", "demo_tin", "--data", str(challenge), "--runs", str(tmp_path), *changes, "-q", "--auto-resume"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    same_weights(whole.checkpoint("last"), run.checkpoint("last"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["demo_tin", "--resume", "a"], "name a recipe"),
        (["--resume", "a", "--seeds", "2"], "--seeds"),
        (["demo_tin", "--seeds", "2", "--dry-run"], "--seeds"),
        (["--resume", "a", "--overfit", "2", "--set", "optim.lr=1"], "own recipe"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["train", *options])
    assert isinstance(result.exception, UsageError)
    assert problem in str(result.exception)
