"""The pixels that a network wants, made of decoded frames on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from tinkit.engine.runtime.precision import autocast_dtype
from tinkit.models import Classifier
from tinkit.models.modality import differences, pixels_of
from tinkit.ops.normalise import normalised
from tinkit.recipe.training import AmpChoice


class Pixels:
    """Turns decoded frames into what the model reads."""

    def __init__(self, model: Classifier, device: torch.device, *, channels_last: bool) -> None:
        wanted = pixels_of(model)
        self._mean = 255 * torch.tensor(wanted.mean, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * torch.tensor(wanted.std, device=device).view(1, -1, 1, 1))
        self._difference = wanted.difference
        self._device = device
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, frames: Tensor, amp: AmpChoice = "off") -> Tensor:
        """(B, T, C, H, W) uint8 to normalised (B, T, C', H, W), on the device; C' is C but for differences.

        float32; for what goes straight into a network in the precision ``amp``, what its first convolution would round
        it to.
        """
        dtype = autocast_dtype(self._device.type, amp)
        images = frames.to(self._device, non_blocking=True).flatten(0, 1)
        if self._difference:
            images = differences(images.to(torch.float32, memory_format=self._format))
            images = images.sub_(self._mean).mul_(self._scale).to(dtype)
        else:
            images = normalised(images, self._mean, self._scale, dtype=dtype, memory_format=self._format)
        return images.unflatten(0, frames.shape[:2])
