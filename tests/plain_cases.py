"""The trainings that tinkit and the plain loop must agree on, and their losses side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plain_loop import Classifier, cosine, plain_losses, steps_down
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from tinkit.data.clips import TrainClips
from tinkit.data.loading import train_loader
from tinkit.data.manifest import open_manifest
from tinkit.engine.checkpoint import load_weights
from tinkit.engine.log import Reporter
from tinkit.engine.run import Run
from tinkit.engine.start import Trial, start_training
from tinkit.recipe import Recipe, load_recipe

_SETTINGS = ["optim.batch=32", "train.val_every=100", "save.keep=100", "model.dropout=0"]


@dataclass(frozen=True)
class Case:
    """A training in tinkit's words, and what the plain loop is told of it."""

    name: str
    settings: tuple[str, ...]
    rate: Callable[[int, int], Callable[[int], float]]
    """Epochs and steps an epoch to the learning rate by step."""
    published: bool
    nesterov: bool


CASES = (
    Case("demo_tin as it is", (), lambda epochs, steps: cosine(0.2, epochs, steps), published=False, nesterov=True),
    Case(
        "as published: parameter groups, partial BN, steps",
        (
            "optim.groups=published", "optim.nesterov=false", "optim.lr=0.02", "model.partial_bn=true",
            "model.offset_init=0.5", "schedule.kind=step", "schedule.milestones=[2,3]",
        ),
        lambda epochs, steps: steps_down(0.02, (2, 3), steps),
        published=True,
        nesterov=False,
    ),
)  # fmt: skip


def losses(case: Case, data: Path, run: Run, epochs: int, steps: int, *changes: str) -> tuple[list[float], list[float]]:
    """The loss of each of the first ``steps`` steps of ``epochs`` epochs: tinkit's, as its events have it, and ours."""
    settings = [*_SETTINGS, *case.settings, f"optim.epochs={epochs}", *changes]
    recipe = load_recipe("demo_tin", settings, data).recipe
    start_training(run, recipe, Reporter(quiet=True), trial=Trial(max_steps=steps))
    events = EventAccumulator(str(run.events), size_guidance={"scalars": 0}).Reload().Scalars("train/loss")
    start = load_weights(run.step_path(0))
    batches = list(_batches(recipe, steps))
    model = Classifier(recipe.model.backbone, recipe.clip.num_segments, batches[0][1].shape[1], start)
    steps_an_epoch = len(open_manifest(recipe.data, "train")) // recipe.optim.batch
    rate = case.rate(epochs, steps_an_epoch)
    plain = plain_losses(model, batches, rate, published=case.published, nesterov=case.nesterov)
    return [event.value for event in events], plain


def _batches(recipe: Recipe, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the first ``steps`` steps: uint8 frames and labels."""
    clips = TrainClips(open_manifest(recipe.data, "train"), recipe.clip, recipe.train.seed)
    loader = train_loader(clips, batch=recipe.optim.batch, epoch=0, epochs=recipe.optim.epochs)
    for _, batch in zip(range(steps), loader, strict=False):
        assert bool(batch["valid"].all())
        yield batch["frames"], batch["labels"]
