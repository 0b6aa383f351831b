"""From a recipe's tables to the model, ready on its device, as it is run, and the pixels it wants."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinkit.engine.distributed.world import World
from tinkit.engine.runtime.device import usable_cores
from tinkit.errors import UsageError
from tinkit.models import Classifier, Video3D, VideoClassifier, freeze_partial_bn
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.models.modality import differences, pixels_of
from tinkit.recipe import Recipe
from tinkit.recipe.training import EmaConfig, TrainConfig
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
) -> Classifier:
    """The recipe's classifier on the CPU.

    ``pretrained`` replaces the recipe's (False if weights are loaded later), ``num_segments`` the clip's.
    """
    start = recipe.model.pretrained if pretrained is None else pretrained
    model = _network(recipe, num_classes, num_segments or recipe.clip.num_segments, start)
    if recipe.train.channels_last:
        lay_channels_last(model)
    if recipe.model.partial_bn:
        freeze_partial_bn(model)
    return model


def lay_channels_last(model: nn.Module) -> None:
    """Bring the weights of convolutions over space, and of those over time too, into channels_last."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])


def _network(recipe: Recipe, num_classes: int, num_segments: int, pretrained: bool | str) -> Classifier:
    arguments = recipe.model.network_arguments() | {"num_classes": num_classes, "pretrained": pretrained}
    if recipe.model.is_3d:
        return Video3D(num_frames=num_segments, **arguments)
    clip = recipe.clip
    return VideoClassifier(num_segments=num_segments, modality=clip.modality, flow_length=clip.flow_length, **arguments)


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


class Pixels:
    """Turns decoded frames into what the model reads."""

    def __init__(self, model: Classifier, device: torch.device, channels_last: bool) -> None:
        wanted = pixels_of(model)
        self._mean = 255 * torch.tensor(wanted.mean, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * torch.tensor(wanted.std, device=device).view(1, -1, 1, 1))
        self._difference = wanted.difference
        self._device = device
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, frames: Tensor) -> Tensor:
        """(B, T, C, H, W) uint8 to normalised float32 (B, T, C', H, W), on the device; C' is C but for differences."""
        images = frames.to(self._device, non_blocking=True).flatten(0, 1)
        images = images.to(torch.float32, memory_format=self._format)
        if self._difference:
            images = differences(images)
        return images.sub_(self._mean).mul_(self._scale).unflatten(0, frames.shape[:2])
