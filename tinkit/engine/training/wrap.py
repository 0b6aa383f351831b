"""The model that is trained: its copies joined, its statistics shared, compiled, averaged."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tinkit.engine.distributed.world import World
from tinkit.errors import UsageError
from tinkit.models import Classifier
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.recipe import Recipe
from tinkit.recipe.training import EmaConfig
from tinkit.timm_import import import_timm


def share_statistics(model: Classifier, recipe: Recipe, world: World) -> Classifier:
    """With ``model.sync_bn`` and several processes: ``model`` with batch statistics over all of them."""
    if not recipe.model.sync_bn or world.size == 1:
        return model
    if not torch.cuda.is_available():
        raise UsageError("model.sync_bn needs CUDA devices", fix="--set model.sync_bn=false")
    import_timm()
    from timm.layers import convert_sync_batchnorm

    synchronised: Classifier = convert_sync_batchnorm(model)
    return synchronised


def make_ema(model: Classifier, config: EmaConfig) -> Any:
    """timm's moving average of the weights; None where the recipe wants none."""
    if config.decay is None:
        return None
    import_timm()
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=config.decay, use_warmup=config.warmup)


def wrap_network(model: Classifier, recipe: Recipe, world: World) -> nn.Module:
    """``model`` as it is trained: with activation checkpointing, compiled, and joined with its copies elsewhere.

    The parameters stay the model's own. Call it after everything that copies the model.
    """
    network: nn.Module = model
    if recipe.train.checkpoint_activations and recipe.train.compile:
        raise UsageError(
            "train.compile chooses by itself what to compute again",
            fix="leave out train.checkpoint_activations or train.compile",
        )
    if recipe.train.checkpoint_activations:
        checkpoint_blocks(model, recipe.model.backbone)
    if recipe.train.compile:
        network = cast(nn.Module, torch.compile(model))
    if world.size > 1:
        devices = [world.local_rank] if torch.cuda.is_available() else None
        network = DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)
    return network
