"""Resume a run: from its newest checkpoint that is whole and finite, with the same clips."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.distributed.environment import environment_number
from tinkit.engine.distributed.world import World
from tinkit.engine.runs.checkpoint import Progress, read_header, resume_checkpoint
from tinkit.engine.runs.checkpoint_writer import newest_good
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.trained_on import check_same_clips
from tinkit.engine.runtime.reporter import Reporter
from tinkit.errors import UserError
from tinkit.recipe import Recipe


def recipe_to_resume(run: Run, data_root: Path | None, *, quiet: bool) -> Recipe:
    """The run's recipe; where its file cannot be read, that in its newest checkpoint, which is said.

    ``data_root`` replaces ``data.root``. Raises :class:`~tinkit.errors.UserError` where neither can be read.
    """
    try:
        return run.load_recipe(data_root=data_root)
    except UserError as error:
        for path in (run.checkpoint("last"), *reversed(run.step_paths().values()), run.checkpoint("best")):
            with suppress(UserError, KeyError, ValidationError):
                values = read_header(path)["info"]["recipe"]
                values["data"].setdefault("turn", False)  # films were read as they are stored before there was the key
                if data_root is not None:
                    values["data"]["root"] = str(data_root.absolute())
                recipe = Recipe.model_validate(values)
                reporter = Reporter(quiet=quiet or environment_number("RANK", 0) > 0)
                reporter.say(f"{run.recipe_path} cannot be read: the recipe in {path} is taken ({error.problem})")
                return recipe
        raise


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
        reporter.say(f"{file} is passed over: {reason}" + (f"; resuming from {path.name}" if path else ""))
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
