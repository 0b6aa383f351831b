"""The end of a residual block, add and ReLU in one pass, where no convolution can take it along.

For :mod:`tinkit.models.fused` only: it writes to features, and has no gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinkit.ops.library import define_inner, fake, plain

define_inner("add_relu_(Tensor(a!) x, Tensor shortcut) -> ()")


def add_relu_(x: Tensor, shortcut: Tensor) -> None:
    """``x`` (B*T, C, H, W) becomes ``relu(x + shortcut)``; both channels_last, dense, of one shape and dtype."""
    torch.ops.tinkit.add_relu_(x, shortcut)


@plain("add_relu_")
def _add_relu(x: Tensor, shortcut: Tensor) -> None:
    x.add_(shortcut).relu_()


@fake("add_relu_")
def _add_relu_shape(x: Tensor, shortcut: Tensor) -> None:
    return None
