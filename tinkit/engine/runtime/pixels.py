"""The pixels that a network wants, made of decoded frames on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from tinkit.models import Classifier
from tinkit.models.modality import differences, pixels_of


class Pixels:
    """Turns decoded frames into what the model reads."""

    def __init__(self, model: Classifier, device: torch.device, *, channels_last: bool) -> None:
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
