"""The weight and bias of a convolution with the BatchNorm behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


@torch.no_grad()
def merged(convolution: nn.Conv2d, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what ``convolution`` and then ``norm``, by its statistics, do.

    Computed in float64 and given in the dtype of the convolution: the division by the deviation is rounded once.
    """
    dtype = convolution.weight.dtype
    weight, bias = fuse_conv_bn_weights(
        convolution.weight.double(),
        _double(convolution.bias),
        norm.running_mean.double(),
        norm.running_var.double(),
        norm.eps,
        _double(norm.weight),
        _double(norm.bias),
    )
    return weight.to(dtype), bias.to(dtype)


def _double(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.double()
