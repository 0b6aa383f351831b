"""Where a run is gone on from: its newest checkpoint that is whole and finite, of the same clips."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tinkit.data.manifest import Manifest
from tinkit.engine.checkpoint import Progress, resume_checkpoint
from tinkit.engine.checks import check_same_clips
from tinkit.engine.distributed import World
from tinkit.engine.keeper import newest_good
from tinkit.engine.log import Reporter
from tinkit.engine.run import Run
from tinkit.errors import UserError


def go_back(
    run: Run,
    clips: Manifest,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Any,
    scaler: torch.amp.GradScaler | None,
    reporter: Reporter,
    world: World,
) -> Progress:
    """Put everything back to where the run's newest good checkpoint has it; a run without any begins again.

    What is passed over is said. Every process of ``world`` calls this. Raises :class:`~tinkit.errors.UserError` where
    there are checkpoints and none is good, and where the clips are not those that the run was begun with.
    """
    path, passed = world.share(newest_good(run) if world.main else None)
    for file, reason in passed:
        reporter.say(f"{file} is passed over: {reason}" + (f"; going on from {path.name}" if path else ""))
    if path is None:
        if passed:
            raise UserError(
                "no checkpoint of the run is whole and finite",
                file=passed[0][0],
                fix="begin again: tinkit train RECIPE",
            )
        return Progress()
    check_same_clips(path, clips)
    return resume_checkpoint(path, model, optimizer, None if ema is None else ema.module, scaler)
