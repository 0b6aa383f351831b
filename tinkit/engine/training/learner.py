"""What a training changes step by step, made from a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.precision import make_scaler
from tinkit.engine.training.optim import build_optimizer
from tinkit.engine.training.wrap import make_ema, share_statistics, wrap_network
from tinkit.models import Classifier
from tinkit.recipe import Recipe


@dataclass(frozen=True)
class Learner:
    """A model in training, on its device, and what changes along with it."""

    model: Classifier
    network: nn.Module
    """``model`` as it is run: compiled, or wrapped for several processes."""
    optimizer: torch.optim.Optimizer
    ema: Any
    """The average of the weights, whose ``module`` is a model; None without one."""
    scaler: torch.amp.GradScaler | None
    """For fp16 only."""


def make_learner(model: Classifier, recipe: Recipe, device: torch.device, world: World) -> Learner:
    """``model`` ready to be trained as ``recipe`` says."""
    model = share_statistics(model, recipe, world).to(device)
    ema = make_ema(model, recipe.ema)  # a copy, so made before the model is wrapped
    optimizer = build_optimizer(model, recipe.optim)
    scaler = make_scaler(device.type, recipe.train.amp)
    return Learner(model, wrap_network(model, recipe, world), optimizer, ema, scaler)
