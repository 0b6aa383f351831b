"""Small checkpoints of a run, saved by its keeper: each has its step in its progress."""

from __future__ import annotations

import torch
from torch import nn

from tinkit.engine.runs.checkpoint import Progress, Snapshot, check_checkpoint, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.run import Run
from tinkit.recipe.training import SaveConfig


def state(step: int, best: float | None = None, *, ema: bool = False) -> Snapshot:
    model, average = nn.Linear(64, 64), nn.Linear(64, 64) if ema else None
    nn.init.constant_(model.weight, step)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return snapshot(model, Progress(step=step, best=best), {}, optimizer=optimizer, ema=average)


def save(run: Run, step: int, *also: str, keep: int = 2) -> None:
    with Keeper(run, SaveConfig(keep=keep)) as keeper:
        keeper.save(state(step), step, also)


def files(run: Run) -> list[str]:
    return sorted(path.name.removesuffix(".safetensors") for path in run.checkpoints.iterdir())


def step_of(run: Run, which: str) -> int:
    return check_checkpoint(run.checkpoint(which))["progress"]["step"]
