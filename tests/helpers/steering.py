"""Steering networks with random weights."""

from __future__ import annotations

import torch

from tinkit.ops import Steering


def networks(fold: int, frames: int, dtype: torch.dtype = torch.float64) -> Steering:
    shapes = [(1, fold, 3), (1,), (frames, frames), (frames,), (2, frames), (2,), (2, fold, 3), (2,)]
    return Steering(*(torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes))
