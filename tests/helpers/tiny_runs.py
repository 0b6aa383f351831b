"""Small trainings for tests: a recipe that runs in a second, and what two runs have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.start import WHOLE, start_training
from tinkit.recipe import Recipe, load_recipe

QUIET = Session(reporter=Reporter(quiet=True))

TINY = [
    "clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "optim.epochs=2",
    "train.val_every=1", "train.workers=0", "model.dropout=0.5",
]  # fmt: skip
"""Three steps an epoch on the 24 clips of the ``challenge`` fixture."""


def tiny(root: Path, *changes: str, name: str = "demo_tin") -> Recipe:
    """A demo recipe made tiny, with ``changes`` like those of ``--set``."""
    return load_recipe(name, [*TINY, *changes], root).recipe


def train(root: Path, runs: Path, name: str, *changes: str, recipe: str = "demo_tin", steps: int | None = None) -> Run:
    """A new run called ``name`` in ``runs``, trained to its end or for so many steps."""
    resolved = tiny(root, *changes, name=recipe)
    run = create_run(name, resolved, runs)
    start_training(run, resolved, QUIET, trial=Trial(max_steps=steps))
    return run


def resume(run: Run, trial: Trial = WHOLE) -> None:
    """Resume a run."""
    start_training(run, run.load_recipe(), QUIET, resume=True, trial=trial)


def same_weights(a: Path, b: Path, *, ema: bool = False) -> None:
    """Assert that two checkpoints hold the same bits as weights."""
    first, second = load_weights(a, ema=ema), load_weights(b, ema=ema)
    assert set(first) == set(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def trained(world: World, run: Run, recipe: Recipe, steps: int | None = None, *, resume: bool = False) -> None:
    """Train, or resume, ``run``."""
    start_training(run, recipe, replace(QUIET, world=world), resume=resume, trial=Trial(max_steps=steps))


def resumed(world: Any, run: Run, recipe: Any) -> None:
    """Resume ``run``."""
    trained(world, run, recipe, resume=True)
