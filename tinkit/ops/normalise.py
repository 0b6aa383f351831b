"""Frames of 8 bits to what a network reads, in one pass over memory: normalised, in its precision and layout.

On a CPU by the native kernel; elsewhere, and without that, by one operation of PyTorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinkit.ops.library import define_inner, fake, plain

define_inner("normalise_into_(Tensor(a!) out, Tensor images, Tensor mean, Tensor scale) -> ()")


def normalised(
    images: Tensor,
    mean: Tensor,
    scale: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """``(images - mean) * scale`` of (N, C, H, W) uint8 as ``dtype``, in ``memory_format``.

    ``mean`` and ``scale`` (1, C, 1, 1) float32. It is computed in float32, and rounded to a ``dtype`` of 16 bits.
    """
    out = torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=memory_format)
    torch.ops.tinkit.normalise_into_(out, images, mean, scale)
    return out


@plain("normalise_into_")
def _normalise(out: Tensor, images: Tensor, mean: Tensor, scale: Tensor) -> None:
    torch.addcmul(-mean * scale, images, scale, out=out)


@fake("normalise_into_")
def _normalise_shape(out: Tensor, images: Tensor, mean: Tensor, scale: Tensor) -> None:
    return None
