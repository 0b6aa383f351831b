"""A folder with a run: made, saved to, trained in, and what a command must not leave in it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tinkit.data.synth import SynthSpec, synthesise
from tinkit.engine.runs.checkpoint import Progress, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.runtime.reporter import Reporter
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.start import start_training
from tinkit.recipe import Recipe, load_recipe
from tinkit.recipe.training import SaveConfig

QUIET = Session(reporter=Reporter(quiet=True))
TINY = [
    *("clip.size=32", "test.scale=32", "test.crop=32", "clip.num_segments=4", "optim.batch=8", "optim.epochs=2"),
    *("train.workers=0", "model.dropout=0.5", "ema.decay=0.5", "save.every=1", "save.keep=3"),
]


def run_in(folder: Path) -> Run:
    return Run(folder / "runs" / "a")


def small_state(step: int, *, ema: bool = False) -> nn.Linear:
    torch.manual_seed(step + 100 * ema)
    return nn.Linear(4, 4)


def save_step(run: Run, step: int, *also: str) -> None:
    model = small_state(step)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    taken = snapshot(model, Progress(step=step), {"classes": []}, optimizer=optimizer, ema=small_state(step, ema=True))
    with Keeper(run, SaveConfig(keep=9)) as keeper:
        keeper.save(taken, step, also)


def left_behind(folder: Path) -> list[str]:
    """What a command must not leave: temporaries, locks, half-made folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


def trained_in(folder: Path) -> tuple[Path, Path, Recipe]:
    """A small challenge, a folder with the run ``a`` that five of six steps were trained in, and its recipe."""
    folder = folder.absolute()
    data, trained = folder / "data", folder / "trained"
    synthesise(SynthSpec("mmit", clips=24, val=8, test=8, seed=3, size=48, frames=12), data, workers=0)
    recipe = load_recipe("demo_tin", TINY, data).recipe
    start_training(run_in(trained), recipe, QUIET, trial=Trial(max_steps=5))
    return data, trained, recipe
