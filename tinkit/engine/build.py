"""From a recipe's tables to the model, ready on its device, as it is run, and the pixels it wants."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinkit.engine.choices import usable_cores
from tinkit.engine.config import EmaConfig, TrainConfig
from tinkit.engine.distributed import World
from tinkit.errors import UsageError
from tinkit.models import VideoClassifier, data_config, freeze_partial_bn
from tinkit.models.memory import checkpoint_blocks
from tinkit.recipe import Recipe
from tinkit.timm_import import import_timm


def choose_device(world: World | None = None) -> torch.device:
    """The process' CUDA device where there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", world.local_rank) if world else torch.device("cuda")


def loader_workers(config: TrainConfig) -> int:
    """How many processes decode clips: what the recipe says, else one a core that this process may use, at most 8."""
    return min(8, usable_cores()) if config.workers is None else config.workers


def build_model(
    recipe: Recipe, num_classes: int, pretrained: bool | str | None = None, num_segments: int | None = None
) -> VideoClassifier:
    """The recipe's classifier on the CPU.

    ``pretrained`` replaces the recipe's (False if weights are loaded later), ``num_segments`` the clip's.
    """
    model = VideoClassifier(
        backbone=recipe.model.backbone,
        temporal=recipe.model.temporal,
        num_classes=num_classes,
        num_segments=num_segments or recipe.clip.num_segments,
        shift_div=recipe.model.shift_div,
        dropout=recipe.model.dropout,
        offset_init=recipe.model.offset_init,
        zero_init_last=recipe.model.zero_init_last,
        classifier_std=recipe.model.classifier_std,
        pretrained=recipe.model.pretrained if pretrained is None else pretrained,
    )
    if recipe.train.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's own overloads
    if recipe.model.partial_bn:
        freeze_partial_bn(model)
    return model


def share_statistics(model: VideoClassifier, recipe: Recipe, world: World) -> VideoClassifier:
    """With ``model.sync_bn`` and several processes: ``model`` with batch statistics over all of them."""
    if not recipe.model.sync_bn or world.size == 1:
        return model
    if not torch.cuda.is_available():
        raise UsageError("model.sync_bn needs CUDA devices", fix="--set model.sync_bn=false")
    import_timm()
    from timm.layers import convert_sync_batchnorm

    synchronised: VideoClassifier = convert_sync_batchnorm(model)
    return synchronised


def make_ema(model: VideoClassifier, config: EmaConfig) -> Any:
    """timm's moving average of the weights; None where the recipe wants none."""
    if config.decay is None:
        return None
    import_timm()
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=config.decay, use_warmup=config.warmup)


def wrap_network(model: VideoClassifier, recipe: Recipe, world: World) -> nn.Module:
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


class Pixels:
    """Turns decoded frames into what the model reads."""

    def __init__(self, model: VideoClassifier, device: torch.device, channels_last: bool) -> None:
        mean, std = data_config(model)
        self._device = device
        self._mean = 255 * torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._scale = 1 / (255 * torch.tensor(std, device=device).view(1, 3, 1, 1))
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) uint8 to normalised float32 of the same shape, on the device."""
        images = frames.to(self._device, non_blocking=True).flatten(0, 1)
        images = images.to(torch.float32, memory_format=self._format)
        return images.sub_(self._mean).mul_(self._scale).unflatten(0, frames.shape[:2])
