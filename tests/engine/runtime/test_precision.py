"""Precision, memory and speed: whatever way a step is computed, the losses stay near float32's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.tiny_runs import QUIET, resume, same_weights, tiny, train
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.run import create_run
from tinkit.engine.runtime.build import wrap_network
from tinkit.engine.training.trainer import Trainer
from tinkit.errors import UsageError

CALM = ["model.dropout=0", "optim.lr=0.01", "model.offset_init=0.5"]


def losses(root: Path, runs: Path, name: str, *changes: str) -> list[float]:
    """The loss of each of six steps."""
    recipe = tiny(root, *CALM, *changes)
    trainer = Trainer(create_run(name, recipe, runs), recipe, open_manifest(recipe.data, "train"), None, QUIET)
    found = []
    record = trainer.left_out.record
    trainer.left_out.record = lambda batch, result, *rest: (found.append(result.loss), record(batch, result, *rest))  # type: ignore[method-assign,assignment]
    trainer.fit()
    assert len(found) == 6
    return found


@pytest.fixture(scope="module")
def float32(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    found = losses(challenge, tmp_path_factory.mktemp("float32"), "a", "train.channels_last=false")
    assert found[0] - found[-1] > 0.02  # it learns: there is something to differ in
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        # the largest seen: 8e-5, 0, 3e-3, 2e-3, 2e-5
        (["train.channels_last=true"], 3e-4),
        (["train.channels_last=false", "train.checkpoint_activations=true"], 1e-6),
        (["train.amp=bf16"], 1e-2),
        (["train.amp=fp16"], 1e-2),
        (["train.channels_last=false", "train.compile=true"], 3e-4),
    ],
)
def test_losses_stay_near_float32(
    challenge: Path, tmp_path: Path, float32: list[float], changes: list[str], bound: float
) -> None:
    assert losses(challenge, tmp_path, "b", *changes) == pytest.approx(float32, rel=bound)


def test_activation_checkpointing_changes_no_bit_of_weights_and_statistics(challenge: Path, tmp_path: Path) -> None:
    """Dropout draws the same, and running statistics move once a step though blocks run twice."""
    changes = ["optim.epochs=1", "schedule.warmup_epochs=0", "ema.decay=0.5"]
    plain = train(challenge, tmp_path, "plain", *changes)
    twice = train(challenge, tmp_path, "twice", *changes, "train.checkpoint_activations=true")
    for ema in (False, True):
        same_weights(plain.checkpoint("last"), twice.checkpoint("last"), ema=ema)


def test_activation_checkpointing_keeps_fewer_bytes(challenge: Path, tmp_path: Path) -> None:
    def kept(name: str, *changes: str) -> int:
        recipe = tiny(challenge, "train.channels_last=false", *changes)
        trainer = Trainer(create_run(name, recipe, tmp_path), recipe, open_manifest(recipe.data, "train"), None, QUIET)
        saved: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: saved.setdefault(x.data_ptr(), x.nbytes) and x, lambda x: x
        ):
            trainer.train_step._network(torch.randn(2, 4, 3, 32, 32))
        return sum(saved.values())

    assert kept("twice", "train.checkpoint_activations=true") < kept("plain") / 2


def test_fp16_resumes_with_its_scale(challenge: Path, tmp_path: Path) -> None:
    changes = ["train.amp=fp16", "optim.epochs=1", "schedule.warmup_epochs=0", "clip.num_segments=2"]
    whole = train(challenge, tmp_path, "whole", *changes)
    broken = train(challenge, tmp_path, "broken", *changes, steps=1)
    assert read_header(broken.checkpoint("last"))["scaler"]["scale"] == 65536.0
    assert read_header(broken.checkpoint("last"))["scaler"]["_growth_tracker"] == 1
    resume(broken)
    same_weights(whole.checkpoint("last"), broken.checkpoint("last"))
    assert read_header(whole.checkpoint("last"))["scaler"] == read_header(broken.checkpoint("last"))["scaler"]


def test_compile_and_activation_checkpointing_exclude_each_other(challenge: Path) -> None:
    recipe = tiny(challenge, "train.compile=true", "train.checkpoint_activations=true")
    with pytest.raises(UsageError, match="leave out"):
        wrap_network(nn.Linear(1, 1), recipe, World())  # type: ignore[arg-type]
