"""A non-finite loss or gradient: the step's clips are listed, and the run stops or leaves the step out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.helpers.tiny_runs import QUIET, resume, tiny
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.checkpoint import load_weights, read_header
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.training.start import start_training
from tinkit.engine.training.step import TrainStep
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import UserError
from tinkit.recipe.training import AmpChoice


def poisoned(root: Path, runs: Path, steps: set[int], *changes: str) -> tuple[Run, Trainer]:
    """A trainer whose frames are NaN in the first micro-batch of these steps."""
    recipe = tiny(root, *changes)
    trainer = Trainer(create_run("a", recipe, runs), recipe, open_manifest(recipe.data, "train"), None, QUIET)
    pixels = trainer.train_step._pixels

    def poison(frames: torch.Tensor, amp: AmpChoice) -> torch.Tensor:
        video = pixels(frames, amp)
        return video * float("nan") if trainer.done in steps else video

    trainer.train_step._pixels = poison  # type: ignore[assignment]
    return trainer.run, trainer


def test_the_run_stops_with_the_clips_of_the_step(challenge: Path, tmp_path: Path) -> None:
    run, trainer = poisoned(challenge, tmp_path, {4}, "save.every=1")
    trainer.save_start()
    with pytest.raises(UserError, match=r"the loss of step 4 is nan") as caught:
        trainer.fit()
    listed = pd.read_csv(run.non_finite_path(4))["id"].tolist()
    assert str(caught.value.file) == str(run.non_finite_path(4))
    manifest = trainer.train_clips.manifest
    seen = [manifest.row(index).id for batch in trainer.batches() for index in batch["index"].tolist()]
    assert listed == seen[:8]  # the trainer stands at the step that it could not do
    weights = load_weights(run.checkpoint("last"))
    assert read_header(run.checkpoint("last"))["progress"]["step"] == 1  # of epoch 1: step 4 of the run
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@pytest.mark.parametrize("amp", ["off", "fp16"])
def test_steps_are_left_out_as_if_they_had_not_been(challenge: Path, tmp_path: Path, amp: str) -> None:
    """Neither weights nor running statistics, momentum or average see such a step."""
    changes = ["train.on_nan=skip:2", "ema.decay=0.5", f"train.amp={amp}", "clip.num_segments=2"]
    run, trainer = poisoned(challenge, tmp_path, {1}, *changes)
    before: list[dict[str, torch.Tensor]] = []
    plain = TrainStep.__call__

    def watch(self: TrainStep, *args: object, **how: object) -> object:
        before.append({name: tensor.clone() for name, tensor in trainer.learner.model.state_dict().items()})
        return plain(self, *args, **how)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainStep, "__call__", watch)
        progress = trainer.fit()
    assert progress.epoch == 2
    assert progress.nan_steps == 1
    changed = [any(not torch.equal(a[name], b[name]) for name in a) for a, b in pairwise(before)]
    assert changed == [True, False, True, True, True]
    averaged = load_weights(run.checkpoint("last"), ema=True)
    assert all(torch.isfinite(tensor).all() for tensor in averaged.values())
    table = pd.read_csv(run.metrics_path)
    assert table["train_loss"].notna().all()


def test_one_step_too_many_stops_the_run_even_over_a_resume(challenge: Path, tmp_path: Path) -> None:
    run, trainer = poisoned(challenge, tmp_path, {0}, "train.on_nan=skip:1")
    trainer.fit(max_steps=2)
    again = Trainer(run, trainer.recipe, trainer.train_clips.manifest, None, QUIET)
    again.train_step._pixels = lambda frames, amp: torch.full(frames.shape, float("nan"))  # type: ignore[assignment]
    with pytest.raises(UserError, match="after 1 steps like it"):
        again.fit(resume=True)


def test_a_rate_that_makes_weights_explode_is_told_at_the_step_where_it_shows(challenge: Path, tmp_path: Path) -> None:
    recipe = tiny(challenge, "optim.lr=1e30", "optim.clip_grad=0")
    run = Run(tmp_path / "wild")
    with pytest.raises(UserError, match=r"a lower optim.lr"):
        start_training(run, recipe, QUIET)
    assert list(run.folder.glob("nonfinite_step_*.csv"))


def test_a_plain_run_snapshots_no_buffers(challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The price of leaving steps out is paid only by those who ask for it."""
    monkeypatch.setattr(TrainStep, "_buffers", lambda self: pytest.fail("copied"))
    start_training(Run(tmp_path / "a"), tiny(challenge), QUIET, trial=Trial(max_steps=1))
    with pytest.raises(pytest.fail.Exception):
        start_training(Run(tmp_path / "b"), tiny(challenge, "train.on_nan=skip:3"), QUIET, trial=Trial(max_steps=1))
    resume(Run(tmp_path / "a"), Trial(max_steps=1))
