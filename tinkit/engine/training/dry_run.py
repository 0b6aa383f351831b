"""A dry run: measure a few steps of a training, to estimate the whole of it. Nothing is kept."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tinkit.data.clips.batch import Batch
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.runtime.device import flushed_denormals
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.batch_plan import pieces_of
from tinkit.engine.training.first_gradients import (
    FirstGradients,
    class_weights_length,
    first_gradients,
    too_small,
    watched,
)
from tinkit.engine.training.start import WHOLE, TuneFrom, open_splits, prepare
from tinkit.engine.training.trainer import Trainer
from tinkit.recipe import Recipe

STEPS = 3  # measured, after one that is not


@flushed_denormals()
def dry_run(
    recipe: Recipe, session: Session, *, tune_from: TuneFrom | None = None, trial: Trial = WHOLE
) -> dict[str, Any]:
    """Train a few steps of ``recipe`` and measure them; returns what a table shows.

    Weights of a file (``tune_from``, ``model.pretrained``) are loaded, so that their mistakes are found now;
    those of the hub are not fetched, since the values do not change the cost.

    ``s/step`` is the median; the memory is the most that this process held: the device's on a GPU, the process' own
    on a CPU. The first step's gradients are those of :class:`~tinkit.engine.training.first_gradients.FirstGradients`;
    where the loss' average over classes makes them too small for the rate, that is said.
    """
    splits = session.world.first(lambda: open_splits(recipe, trial, session.reporter))
    if recipe.model.pretrained is True:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"pretrained": False})})
    with tempfile.TemporaryDirectory() as folder:
        trainer, origin = prepare(Run(Path(folder)), recipe, splits, session, tune_from=tune_from)
        if origin is not None:
            session.reporter.say_lines(f"{origin[0]}: {origin[1].summary()}")
        seconds, waited, first = _measure(trainer)
    pieces, micro = pieces_of(recipe, session.world)
    if warning := too_small(first, recipe, splits[0].task, len(splits[0].classes)):
        session.reporter.say_lines(warning)
    parameters = list(trainer.learner.model.parameters())
    step = statistics.median(seconds)
    return {
        "parameters": sum(p.numel() for p in parameters),
        "trained": sum(p.numel() for p in parameters if p.requires_grad),
        "clips": len(splits[0]),
        "batch": recipe.optim.batch,
        "processes": session.world.size,
        "pieces": pieces,
        "micro_batch": micro,
        "steps an epoch": trainer.steps_per_epoch,
        "s/step": step,
        "waiting for data": statistics.median(waited),
        "clips/s": recipe.optim.batch / step,
        "min/epoch": step * trainer.steps_per_epoch / 60,
        "hours in all": step * trainer.steps_per_epoch * recipe.optim.epochs / 3600,
        "GiB of a process": _peak_memory(),
        "first gradient": first.norm,
        "first update of the classifier": first.update,
        "rate x pull of a clip": None if first.pull is None else first.rate * first.pull,
        "device": trainer.device.type,
    }


def _measure(trainer: Trainer) -> tuple[list[float], list[float], FirstGradients]:
    """Seconds of each measured step, the share of each that waited for data, and the first step's gradients."""
    trainer.train_mode()
    steps = min(STEPS + 1, trainer.steps_per_epoch)
    loader = iter(trainer.batches())
    seconds, waited, firsts = [], [], []
    with trainer.reporter.progress("dry run", steps) as meter:
        for step in range(steps):
            begun = time.monotonic()
            batch = next(loader)
            got = time.monotonic()
            if step == 0:
                firsts.append(_first_step(trainer, batch))
            else:
                trainer.train_step(batch, step)
            seconds.append(time.monotonic() - begun)
            waited.append((got - begun) / seconds[-1])
            meter.advance(1)
    return seconds[1:] or seconds, waited[1:] or waited, firsts[0]


def _first_step(trainer: Trainer, batch: Batch) -> FirstGradients:
    learner = trainer.learner
    before = class_weights_length(learner)
    scale = trainer.world.size * (1.0 if learner.scaler is None else learner.scaler.get_scale())
    with watched(learner.network) as watch:
        result = trainer.train_step(batch, 0)
    return first_gradients(watch, learner, trainer.recipe, batch, result, before, scale)


def _peak_memory() -> float | None:
    """GiB held at the peak; None where the system does not report it."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    if sys.platform == "win32":
        return None
    import resource  # only Unix has it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
