"""Training: a run's files, resuming to the same bits, masked broken clips, micro-batches, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.tiny_runs import QUIET, resume, same_weights, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.checkpoint import Progress, load_weights, read_header
from tinkit.engine.runs.log import RunLog
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.training.start import TuneFrom, start_training
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import Interrupted, UsageError, UserError
from tinkit.run_folder import find_run


def test_run_folder_holds_what_the_design_says(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "a")
    assert Run(find_run("a", tmp_path)).load_recipe() == tiny(challenge)
    table = pd.read_csv(run.metrics_path)
    assert table["epoch"].tolist() == [0, 1]
    assert table["step"].tolist() == [3, 6]
    assert {"train_loss", "clips_per_s", "lr", "val_sample_map", "val_class_map"} <= set(table.columns)
    header = read_header(run.checkpoint("last"))
    assert header["progress"]["epoch"] == 2
    assert header["info"]["classes"][0] == "moving/sliding left"
    best = read_header(run.checkpoint("best"))["progress"]
    assert best["metrics"]["sample_map"] == pytest.approx(table["val_sample_map"].max())
    events = EventAccumulator(str(run.events), size_guidance={"histograms": 0})
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert len(losses) == 6
    assert sum(losses[3:]) / 3 == pytest.approx(table["train_loss"][1], rel=1e-5)
    assert [event.step for event in events.Scalars("val/sample_map")] == [3, 6]
    blocks = [name for name in events.Tags()["histograms"] if name.startswith("offset/")]
    assert len(blocks) == 4
    offsets = events.Histograms(blocks[0])[0].histogram_value
    assert offsets.num == 8 * 4
    assert -2 < offsets.min < 0 < offsets.max < 2


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_interrupted_and_resumed_is_bit_for_bit_the_unbroken_run(challenge: Path, tmp_path: Path, steps: int) -> None:
    whole = train(challenge, tmp_path, "whole")
    broken = train(challenge, tmp_path, "broken", steps=steps)
    assert read_header(broken.checkpoint("last"))["progress"]["epoch"] == steps // 3
    torch.manual_seed(99)
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    same_weights(whole.checkpoint("best"), broken.checkpoint("best"))
    columns = ["epoch", "step", "lr", "train_loss", "broken", "val_sample_map", "val_class_map"]
    pd.testing.assert_frame_equal(pd.read_csv(whole.metrics_path)[columns], pd.read_csv(broken.metrics_path)[columns])


def test_workers_do_not_change_the_result(challenge: Path, tmp_path: Path) -> None:
    one = train(challenge, tmp_path, "one", "optim.epochs=2", steps=2)
    three = train(challenge, tmp_path, "three", "optim.epochs=2", "train.workers=3", steps=2)
    same_weights(one.checkpoint("last"), three.checkpoint("last"))


def test_resume_before_the_first_checkpoint_starts_again(challenge: Path, tmp_path: Path) -> None:
    recipe = tiny(challenge)
    run = create_run("early", recipe, tmp_path)
    start_training(run, recipe, QUIET, resume=True)
    same_weights(run.checkpoint("last"), train(challenge, tmp_path, "whole").checkpoint("last"))


def test_micro_batches_give_the_gradient_of_the_whole_batch(challenge: Path, tmp_path: Path) -> None:
    def gradients(micro: str) -> list[torch.Tensor]:
        # statistics of a batch depend on its size, so they are frozen here: this is about the loss's arithmetic
        recipe = tiny(challenge, "model.dropout=0", "model.partial_bn=true", micro)
        train_set = open_manifest(recipe.data, "train")
        trainer = Trainer(create_run(micro, recipe, tmp_path), recipe, train_set, None, QUIET)
        for module in trainer.learner.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        batch = next(iter(trainer.batches()))
        batch["valid"][2] = False
        trainer.train_step._backward(batch, 0, 7)
        return [p.grad for p in trainer.learner.model.parameters() if p.grad is not None]

    for whole, parts in zip(gradients("optim.micro_batch=8"), gradients("optim.micro_batch=2"), strict=True):
        assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-6)


def test_broken_clips_are_left_out_recorded_and_limited(challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    victims = [open_manifest(tiny(root).data, "train").row(row) for row in (3, 11)]
    whole = (root / victims[0].path).read_bytes()
    (root / victims[0].path).write_bytes(whole[: len(whole) // 3])
    (root / victims[1].path).unlink()
    run = train(root, tmp_path, "tolerant")
    left_out = pd.read_csv(run.left_out_path)
    assert sorted(left_out["id"]) == sorted(2 * [victim.id for victim in victims])
    assert left_out["epoch"].tolist() == [0, 0, 1, 1]
    assert pd.read_csv(run.metrics_path)["broken"].tolist() == [2, 2]
    with pytest.raises(UserError, match="max_broken"):
        train(root, tmp_path, "strict", "train.max_broken=0")
    assert (tmp_path / "strict" / "left_out.csv").is_file()


def test_refusals(challenge: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fewer than one batch"):
        train(challenge, tmp_path, "large", "optim.batch=64")
    train(challenge, tmp_path, "a", steps=1)
    with pytest.raises(UsageError, match=r"--resume a"):
        create_run("a", tiny(challenge), tmp_path)
    with pytest.raises(UsageError, match="did you mean 'a'"):
        find_run("aa", tmp_path)


def test_tune_from_another_run_takes_its_weights(challenge: Path, tmp_path: Path) -> None:
    first = train(challenge, tmp_path, "first", recipe="demo_tsm")
    recipe = tiny(challenge, "optim.lr=1e-12")
    second = create_run("second", recipe, tmp_path)
    start_training(second, recipe, replace(QUIET, runs=tmp_path), trial=Trial(max_steps=1), tune_from=TuneFrom("first"))
    account = json.loads((second.folder / "weights.json").read_text())
    assert account["layout"] == "tinkit"
    assert all(".temporal." in key for key in account["new"])
    assert set(account["used"]) | set(account["dropped"]) == set(load_weights(first.checkpoint("best")))
    before, after = load_weights(first.checkpoint("best")), load_weights(second.checkpoint("last"))
    assert any("temporal.offset_net" in name for name in after)
    for name, tensor in before.items():
        if name.endswith("weight"):
            assert torch.allclose(after[name], tensor, atol=1e-6), name


def test_clips_too_short_to_train_on_are_left_out_and_not_counted_as_broken(challenge: Path, tmp_path: Path) -> None:
    run = train(challenge, tmp_path, "short", "data.min_frames=13", "train.max_broken=0", steps=2)
    left_out = pd.read_csv(run.left_out_path)
    assert len(left_out) == 16
    assert left_out["reason"].str.contains("12 frames, fewer than data.min_frames = 13").all()


def test_a_run_goes_on_with_the_clips_that_it_began_with_or_not_at_all(challenge: Path, tmp_path: Path) -> None:
    recipe = tiny(challenge)
    run = Run(tmp_path / "part")
    start_training(run, recipe, QUIET, trial=Trial(limit=16, max_steps=1))
    with pytest.raises(UserError, match="--limit 16"):
        resume(run)
    progress = start_training(run, recipe, QUIET, resume=True, trial=Trial(limit=16))
    assert progress.epoch == 2


def test_a_run_that_ends_in_its_first_step_goes_on_from_the_weights_it_was_given(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(challenge, tmp_path, "donor", steps=2)
    recipe = tiny(challenge)
    trial = Trial(max_steps=1)
    start = TuneFrom(str(tmp_path / "donor" / "checkpoints" / "last.safetensors"))
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    start_training(whole, recipe, QUIET, tune_from=start, trial=trial)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(Interrupted, match="--resume"):
            start_training(broken, recipe, QUIET, tune_from=start, trial=trial)
    resume(broken, trial)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    shutil.rmtree(broken.checkpoints)
    with pytest.raises(UserError, match="begin a new run"):
        resume(broken)


def test_ids_that_look_like_numbers_stay_as_they_are_in_what_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    log = RunLog(run, Progress(), 0, validated=True)
    log.left_out(0, [("0005", "truncated"), ("NA", "1"), ("1e5", "no such file")])
    log.close()
    again = RunLog(run, Progress(step=3), 3, validated=True)
    assert again.left_out(0, [("0005", "truncated"), ("nan", "new")]) == [(4, ("nan", "new"))]
    again.close()
    lines = run.left_out_path.read_text().splitlines()
    assert lines == ["epoch,id,reason", "0,0005,truncated", "0,NA,1", "0,1e5,no such file", "0,nan,new"]


def test_left_out_clips_are_listed_once_when_steps_are_repeated(challenge: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(challenge, root)
    victim = open_manifest(tiny(root).data, "train").row(7)
    (root / victim.path).unlink()
    run = train(root, tmp_path, "a", steps=1)
    before = run.checkpoint("last").read_bytes()
    resume(run, Trial(max_steps=2))
    run.checkpoint("last").unlink()
    run.checkpoint("last").write_bytes(before)  # as if the process had been killed before it saved again
    resume(run)
    left_out = pd.read_csv(run.left_out_path)
    assert left_out[["epoch", "id"]].values.tolist() == [[0, victim.id], [1, victim.id]]
    assert pd.read_csv(run.metrics_path)["broken"].tolist() == [1, 1]


@pytest.mark.parametrize("how", [{"tune_from": TuneFrom("nowhere")}, {"trial": Trial(limit=3)}])
def test_a_start_that_fails_leaves_no_run(challenge: Path, tmp_path: Path, how: dict[str, object]) -> None:
    recipe = tiny(challenge)
    with pytest.raises(UserError):
        start_training(Run(tmp_path / "x"), recipe, replace(QUIET, runs=tmp_path), **how)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()
