"""The trainings that tinkit and the plain loop must agree on, and their losses side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from tests.helpers.plain_loop import PlainClassifier, plain_losses
from tinkit.data.clips.loading import train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.log import Reporter
from tinkit.engine.runs.run import Run
from tinkit.engine.training.start import Trial, start_training
from tinkit.models import VideoClassifier
from tinkit.recipe import Recipe, load_recipe

EPOCHS = 4
BOUND = 1e-5
"""How far the losses may lie apart, relative to the loss."""
Network = Literal["tinkit", "plain"]


@dataclass(frozen=True)
class Case:
    """A training in tinkit's words, and what the plain loop is told of it."""

    name: str
    settings: tuple[str, ...]
    rate: Callable[[float], float]
    """The epoch, a fraction, to the learning rate."""
    published: bool
    nesterov: bool


def _warm(e: float) -> float:
    """A linear warm-up over the first epoch, from a tenth."""
    return 0.1 + 0.9 * e


DEMO = Case(
    "demo_tin",
    (),
    lambda e: 0.2 * _warm(e) if e < 1 else 0.5 * 0.2 * (1 + math.cos(math.pi * (e - 1) / (EPOCHS - 1))),
    published=False,
    nesterov=True,
)
PUBLISHED = Case(
    "published settings",
    (
        "optim.groups=published", "optim.nesterov=false", "optim.lr=0.01", "model.partial_bn=true",
        "model.offset_init=0.5", "schedule.kind=step", "schedule.milestones=[2,3]",
    ),
    lambda e: 0.01 * _warm(e) if e < 1 else 0.01 * 0.1 ** sum(e >= milestone for milestone in (2, 3)),
    published=True,
    nesterov=False,
)  # fmt: skip


class SideBySide:
    """A case trained by tinkit for so many steps; :meth:`plain` trains it by the plain loop."""

    def __init__(self, case: Case, data: Path, run: Run, steps: int, *changes: str) -> None:
        settings = ["model.dropout=0", "train.val_every=100", "save.keep=100", f"optim.epochs={EPOCHS}"]
        self.case, self.recipe = case, load_recipe("demo_tin", [*settings, *case.settings, *changes], data).recipe
        start_training(run, self.recipe, Reporter(quiet=True), trial=Trial(max_steps=steps))
        events = EventAccumulator(str(run.events), size_guidance={"scalars": 0}).Reload()
        self.losses = [event.value for event in events.Scalars("train/loss")]
        """tinkit's, by step, as its events have them."""
        self._start = load_weights(run.step_path(0))
        self._batches, self._steps_an_epoch = _batches(self.recipe, steps)

    def plain(self, network: Network, *, nudge: float = 0.0) -> list[float]:
        """The plain loop's losses from the same start on the same batches, with tinkit's network or a plain one.

        ``nudge`` changes the start by that share, at random.
        """
        generator = torch.Generator().manual_seed(0)
        start = {
            name: tensor * (1 + nudge * torch.randn(tensor.shape, generator=generator)) if nudge else tensor
            for name, tensor in self._start.items()
        }
        model, frames = self.recipe.model, self.recipe.clip.num_segments
        classifier: nn.Module
        if network == "plain":
            classifier = PlainClassifier(model.backbone, frames, start)
        else:
            classes = len(start["classifier.bias"])
            classifier = VideoClassifier(model.backbone, "tin", classes, frames, model.shift_div, dropout=0)
            classifier.load_state_dict(start)
        return plain_losses(
            classifier,
            self._batches,
            self.case.rate,
            steps_an_epoch=self._steps_an_epoch,
            published=self.case.published,
            nesterov=self.case.nesterov,
        )


def relative(losses: list[float], others: list[float]) -> list[float]:
    """How far two trainings lie apart by step, relative to the loss."""
    return [abs(one - other) / abs(one) for one, other in zip(losses, others, strict=True)]


def _batches(recipe: Recipe, steps: int) -> tuple[list[tuple[Tensor, Tensor]], int]:
    """Frames and labels of the first ``steps`` steps, and how many steps an epoch has."""
    manifest = open_manifest(recipe.data, "train")
    clips = TrainClips(manifest, recipe.clip, recipe.train.seed)
    epochs = (train_loader(clips, batch=recipe.optim.batch, epoch=epoch) for epoch in range(recipe.optim.epochs))
    batches = list(islice(chain.from_iterable(epochs), steps))
    assert all(bool(batch["valid"].all()) for batch in batches)
    return [(batch["frames"], batch["labels"]) for batch in batches], len(manifest) // recipe.optim.batch
