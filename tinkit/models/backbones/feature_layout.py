"""How a backbone lays out the features that a temporal module gets, and the same features as operators take them.

Operators take (B*T, C, H, W) in any strides that PyTorch calls contiguous or channels_last. Features with their
channels last, and tokens, are that already if they are looked at as (B*T, C, H, W): the views here copy nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tinkit.ops import fold_mean


@dataclass(frozen=True)
class FeatureLayout:
    """``NCHW`` (B*T, C, H, W); ``NHWC`` (B*T, H, W, C); ``NLC``: L tokens, (B*T, L, C).

    The first ``prefix`` tokens are those of class, distillation and registers: no place in the frame, so they do not
    move and count in no mean.
    """

    format: Literal["NCHW", "NHWC", "NLC"] = "NCHW"
    prefix: int = 0

    def view(self, x: Tensor) -> Tensor:
        """``x`` as (B*T, C, H, W), or (B*T, C, L, 1) for tokens, in the same memory."""
        if self.format == "NHWC":
            return x.permute(0, 3, 1, 2)
        return x.transpose(1, 2).unsqueeze(3) if self.format == "NLC" else x

    def back(self, moved: Tensor, x: Tensor) -> Tensor:
        """``moved``, a new tensor of the shape of ``view(x)``, in the shape of ``x``; prefix tokens are those of ``x``.

        Writes to ``moved``, and returns a view of it.
        """
        if self.format == "NHWC":
            return moved.permute(0, 2, 3, 1)
        if self.format == "NCHW":
            return moved
        tokens = moved.squeeze(3).transpose(1, 2)
        if self.prefix:
            tokens[:, : self.prefix] = x[:, : self.prefix]
        return tokens

    def mean(self, x: Tensor, fold: int) -> Tensor:
        """The mean over pixels of the first ``fold`` channels: (B*T, fold), float32 or better."""
        if self.prefix:
            return x[:, self.prefix :, :fold].mean(1, dtype=torch.promote_types(x.dtype, torch.float32))
        return fold_mean(self.view(x), fold)


NCHW = FeatureLayout()
