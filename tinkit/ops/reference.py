"""The interlace operator in operations that autograd and exporters know.

One way is the obvious one, the truth that every faster implementation is tested against. The other is a product with a
matrix over time: what ``torch.export`` and ONNX get, for it has no gathers, loops or sizes that depend on data.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def interlace_reference(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """:func:`tinkit.ops.interlace` in plain PyTorch, differentiated by autograd, in the dtypes it is given.

    ``x`` (B*T, C, H, W), ``offset`` (B, G), ``gain`` (B, T, G); returns (B*T, C, H, W).
    """
    clips, frames, groups = gain.shape
    height, width = x.shape[2:]
    moving = x[:, :fold].reshape(clips, frames, groups, fold // groups, height, width)
    within = (offset >= -frames) & (offset < frames)  # false for NaN; at -T the value is zero but the slope is not
    offset = torch.where(within, offset, frames)
    whole = offset.floor().detach()
    part = (offset - whole)[:, None, :, None, None, None]
    time = torch.arange(frames, device=x.device)[None, :, None] - whole[:, None].long()

    def read(frame: Tensor) -> Tensor:
        inside = (frame >= 0) & (frame < frames)
        index = frame.clamp(0, frames - 1)[..., None, None, None].expand(-1, -1, -1, *moving.shape[3:])
        return torch.where(inside[..., None, None, None], moving.gather(1, index), 0)

    moved = gain[..., None, None, None] * ((1 - part) * read(time) + part * read(time - 1))
    return torch.cat([moved.reshape(clips * frames, fold, height, width).to(x.dtype), x[:, fold:]], dim=1)


def interlace_over_time(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """:func:`tinkit.ops.interlace` as a product with the matrix of each clip and group, (T, T) of gain and triangle.

    The shapes are those of :func:`interlace_reference`; arithmetic is float32, or float64 for float64 features. Output
    frame ``t`` reads input frame ``s`` by ``gain[t] * max(0, 1 - |t - s - offset|)``. One non-finite value
    spreads to all frames of its clip. What moved is added to the features as a difference, zero past the fold: to cut
    channels apart and join them again takes other programs longer than the convolution behind it.
    """
    clips, frames, groups = gain.shape
    height, width = x.shape[2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    time = torch.arange(frames, device=x.device, dtype=dtype)
    triangle = 1 - ((time[:, None] - time) - offset.to(dtype)[..., None, None]).abs()  # (B, G, output, input)
    matrix = torch.where(triangle > 0, triangle, 0) * gain.to(dtype).transpose(1, 2)[..., None]
    moving = x[:, :fold].to(dtype).reshape(clips, frames, groups, fold // groups * height * width)
    moved = torch.matmul(matrix, moving.transpose(1, 2)).transpose(1, 2)
    difference = moved.reshape(clips * frames, fold, height, width) - x[:, :fold].to(dtype)
    return (x.to(dtype) + F.pad(difference, (0, 0, 0, 0, 0, x.shape[1] - fold))).to(x.dtype)
