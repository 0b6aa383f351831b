"""The interlace operator written the obvious way: the truth that every faster implementation is tested against."""

from __future__ import annotations

import torch
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
