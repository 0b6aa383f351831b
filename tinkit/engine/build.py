"""From a recipe's tables to the model, ready on its device, and the pixels it wants."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from tinkit.engine.config import TrainConfig
from tinkit.models import VideoClassifier, data_config, freeze_partial_bn
from tinkit.recipe import Recipe


def choose_device() -> torch.device:
    """The CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loader_workers(config: TrainConfig) -> int:
    """How many processes decode clips: what the recipe says, else one a core that this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores) if config.workers is None else config.workers


def build_model(recipe: Recipe, num_classes: int, pretrained: bool | str | None = None) -> VideoClassifier:
    """The recipe's classifier on the CPU; ``pretrained`` replaces the recipe's (False if weights are loaded later)."""
    model = VideoClassifier(
        backbone=recipe.model.backbone,
        temporal=recipe.model.temporal,
        num_classes=num_classes,
        num_segments=recipe.clip.num_segments,
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
