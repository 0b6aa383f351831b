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
from tinkit.models.video import Temporal
from tinkit.recipe import Recipe
from tinkit.recipe.model import ModelConfig
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
    config = recipe.model
    start = config.pretrained if pretrained is None else pretrained
    frames = num_segments or recipe.clip.num_segments
    model = (
        _network_3d(config, num_classes, frames, start)
        if config.is_3d
        else _network(recipe, num_classes, frames, start)
    )
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


def _network(recipe: Recipe, num_classes: int, num_segments: int, pretrained: bool | str) -> VideoClassifier:
    config = recipe.model
    return VideoClassifier(
        backbone=config.backbone,
        temporal=cast(Temporal, config.temporal),
        num_classes=num_classes,
        num_segments=num_segments,
        shift_div=config.shift_div,
        dropout=config.dropout,
        pretrained=pretrained,
        offset_init=config.offset_init,
        place=config.place,
        shift_place=config.shift_place,
        temporal_pool=config.temporal_pool,
        non_local=config.non_local,
        non_local_subsample=config.non_local_subsample,
        non_local_places=config.non_local_places,
        consensus=config.consensus,
        relations_sampled=config.relations_sampled,
        sample_in_test=config.sample_in_test,
        zero_init_last=config.zero_init_last,
        classifier_std=config.classifier_std,
        backbone_kwargs=config.backbone_kwargs,
        modality=recipe.clip.modality,
        flow_length=recipe.clip.flow_length,
    )


def _network_3d(config: ModelConfig, num_classes: int, num_frames: int, pretrained: bool | str) -> Video3D:
    return Video3D(
        arch=config.backbone,
        num_classes=num_classes,
        num_frames=num_frames,
        variant=config.variant,
        dropout=config.dropout,
        speed_ratio=config.speed_ratio,
        lateral_kernel=config.lateral_kernel,
        stem_pool=config.stem_pool,
        zero_init_last=config.zero_init_last,
        classifier_std=config.classifier_std,
        pretrained=pretrained if isinstance(pretrained, str) else None,
    )


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
