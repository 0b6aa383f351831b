"""The interlace operator in float64 numpy, as a matrix over time: what native kernels are held against."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Case(NamedTuple):
    """One call's tensors: features (B*T, C, H, W), a gradient of that shape, offsets (B, G), gains (B, T, G)."""

    x: Tensor
    grad: Tensor
    offset: Tensor
    gain: Tensor
    fold: int

    @property
    def steered(self) -> tuple[Tensor, Tensor, Tensor, int]:
        """The arguments of the forward operators."""
        return self.x, self.offset, self.gain, self.fold


class Truth(NamedTuple):
    """Output and gradients; ``offset_terms`` and ``gain_terms`` are the last two with all their terms made positive.

    Rounding of a sum grows with its terms, so they are what an error is measured by.
    """

    out: np.ndarray
    x: np.ndarray
    offset: np.ndarray
    gain: np.ndarray
    offset_terms: np.ndarray
    gain_terms: np.ndarray


def draw(
    shape: tuple[int, int, int, int],
    frames: int,
    groups: int,
    fold: int,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    shift: int = 0,
    seed: int = 0,
) -> Case:
    """Random tensors; the features start ``shift`` elements into their memory."""
    generator = torch.Generator().manual_seed(seed)
    clips = shape[0] // frames

    def features() -> Tensor:
        batch, channels, height, width = shape
        stored = torch.randn(math.prod(shape) + shift, generator=generator).to(dtype)[shift:]
        if channels_last:
            return stored.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return stored.view(shape)

    steering = torch.promote_types(dtype, torch.float32)
    offset = torch.rand(clips, groups, generator=generator).to(steering) * 5 - 2.5
    gain = torch.rand(clips, frames, groups, generator=generator).to(steering) * 2
    return Case(features(), features(), offset, gain, fold)


def truth(case: Case) -> Truth:
    """Everything for the full width."""
    clips, frames, groups = case.gain.shape
    x, grad = (exact(tensor).reshape(clips, frames, *case.x.shape[1:]) for tensor in (case.x, case.grad))
    gain = exact(case.gain)
    out, grad_x = x.copy(), grad.copy()
    offsets = [np.zeros(tuple(case.offset.shape)) for _ in range(2)]
    gains = [np.zeros(tuple(case.gain.shape)) for _ in range(2)]
    for b in range(clips):
        for g in range(groups):
            part = slice(g * case.fold // groups, (g + 1) * case.fold // groups)
            late, early, share = taps(float(case.offset[b, g]), frames)
            mixing = (1 - share) * late + share * early
            weight = gain[b, :, g, None]
            values, back = x[b, :, part].reshape(frames, -1), grad[b, :, part].reshape(frames, -1)
            out[b, :, part] = (weight * (mixing @ values)).reshape(out[b, :, part].shape)
            grad_x[b, :, part] = (mixing.T @ (weight * back)).reshape(out[b, :, part].shape)
            gains[0][b, :, g] = (back * (mixing @ values)).sum(1)
            gains[1][b, :, g] = (abs(back) * (mixing @ abs(values))).sum(1)
            offsets[0][b, g] = (weight * back * ((early - late) @ values)).sum()
            offsets[1][b, g] = (abs(weight * back) * ((early + late) @ abs(values))).sum()
    shape = tuple(case.x.shape)
    return Truth(out.reshape(shape), grad_x.reshape(shape), offsets[0], gains[0], offsets[1], gains[1])


def taps(offset: float, frames: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Which input frame (column) an output frame (row) shows late and early, each (T, T), and the early one's share."""
    late, early = np.zeros((frames, frames)), np.zeros((frames, frames))
    if not (math.isfinite(offset) and abs(offset) <= frames):
        return late, early, 0.0
    whole = math.floor(offset)
    for t in range(frames):
        for matrix, s in ((late, t - whole), (early, t - whole - 1)):
            if 0 <= s < frames:
                matrix[t, s] = 1
    return late, early, offset - whole


def exact(tensor: Tensor) -> np.ndarray:
    """As float64, in the order of the dimensions."""
    return tensor.detach().double().contiguous().numpy()
