"""The interlace operator, vectorised in plain PyTorch for any device: two rows are read for each row written.

The features are seen as a table of rows, each the longest run of memory that moves as one: for a contiguous tensor the
``fold / G`` channels of a group with all their pixels, for a channels_last one a group's channels at one pixel. Every
output row is a weighted sum of two input rows, which is what ``embedding_bag`` does in one pass without temporaries.
Only the fold is computed; the channels that do not move, where they are wanted, are copied once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinkit.ops.layout import is_channels_last


class _Taps(NamedTuple):
    """The two frames that each output frame reads, as rows of (B*T), and what they are multiplied by.

    ``rows``, ``inside``, ``shares`` and ``weights`` are (2, B, T, G): ``inside`` tells whether the frame lies in the
    clip (else ``rows`` names any row and ``weights`` is zero), ``shares`` are ``1 - r`` and ``r``.
    """

    rows: Tensor
    inside: Tensor
    shares: Tensor
    weights: Tensor


def gather_forward(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """The operator's output: x (B*T, C, H, W), offset (B, G), gain (B, T, G) -> (B*T, C, H, W)."""
    return _with_fold(_moved(x, _taps_for(x, offset, gain), fold, is_channels_last(x)), x, like=x)


def gather_backward(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of ``x``, ``offset`` and ``gain``, each in its own shape and dtype, given the output's."""
    transposed = _taps_for(x, offset, gain, transposed=True)
    grad_x = _with_fold(_moved(grad, transposed, fold, is_channels_last(x)), grad, like=x)
    return grad_x, *gather_products(grad, x, offset, gain, fold)


def gather_products(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """The gradients of ``offset`` and ``gain`` alone; of ``grad`` and ``x`` the first ``fold`` channels are read."""
    taps = _taps_for(x, offset, gain)
    near, far = products = _frame_products(grad, x, taps, fold)
    grad_gain = (taps.shares * products).sum(0)
    grad_offset = (gain.to(far.dtype) * (far - near)).sum(1)
    return grad_offset.to(offset.dtype), grad_gain.to(gain.dtype)


def gather_fold(x: Tensor, offset: Tensor, gain: Tensor, fold: int, *, transposed: bool = False) -> Tensor:
    """The first ``fold`` channels of the output alone, or of the operator's transpose: (B*T, fold, H, W), as ``x``."""
    taps = _taps_for(x, offset, gain, transposed=transposed)
    return _moved(x, taps, fold, is_channels_last(x)).to(x.dtype)


def _taps_for(x: Tensor, offset: Tensor, gain: Tensor, *, transposed: bool = False) -> _Taps:
    dtype = torch.promote_types(x.dtype, torch.float32)
    return _taps(offset.to(dtype), gain.to(dtype), transposed=transposed)


def _taps(offset: Tensor, gain: Tensor, *, transposed: bool) -> _Taps:
    """The taps of the operator, or of its transpose: what frame ``s`` gave to frames ``s + k`` and ``s + k + 1``."""
    clips, frames, groups = gain.shape
    # At -T the value is zero but the slope is not. NaN fails both comparisons: it lies beyond the clip, too.
    offset = torch.where((offset >= -frames) & (offset < frames), offset, frames)
    whole = offset.floor()
    part = (offset - whole)[:, None]
    time = torch.arange(frames, device=gain.device, dtype=gain.dtype)[:, None]
    first = time + whole[:, None] if transposed else time - whole[:, None]
    frame = torch.stack([first, first + 1 if transposed else first - 1])
    inside = (frame >= 0) & (frame < frames)
    frame = frame.clamp(0, frames - 1).long()
    shares = torch.stack([1 - part, part]).expand(2, clips, frames, groups)
    # The gain belongs to the output frame: in the transpose that is the frame read.
    gains = gain.expand(2, clips, frames, groups).gather(2, frame) if transposed else gain
    start = torch.arange(0, clips * frames, frames, device=gain.device)[:, None, None]
    return _Taps(frame + start, inside, shares, torch.where(inside, gains * shares, 0))


def _with_fold(moved: Tensor, x: Tensor, *, like: Tensor) -> Tensor:
    """A new tensor laid out as ``like``: the fold is ``moved``, the other channels are those of ``x``."""
    fold = moved.shape[1]
    out = torch.empty_like(like)
    out[:, fold:] = x[:, fold:]
    out[:, :fold] = moved
    return out


def _moved(x: Tensor, taps: _Taps, fold: int, channels_last: bool) -> Tensor:
    """The fold, each output row a weighted sum of two rows of ``x``: (B*T, fold, H, W) in the dtype of the weights."""
    batch, _, height, breadth = x.shape
    if batch * height * breadth == 0:
        return x.new_empty((batch, fold, height, breadth), dtype=taps.weights.dtype)
    width = fold // taps.rows.shape[-1]
    table = _table(x, fold, width, taps.weights.dtype, channels_last)
    pixels, columns = table.shape[1:3]
    index = _table_index(taps.rows.permute(1, 2, 3, 0), pixels, columns)
    weights = taps.weights.permute(1, 2, 3, 0).flatten(0, 1)[:, None].expand_as(index)
    moved = F.embedding_bag(
        index.reshape(-1, 2), table.flatten(0, 2), per_sample_weights=weights.reshape(-1, 2), mode="sum"
    )
    if channels_last:
        return moved.view(batch, height, breadth, fold).permute(0, 3, 1, 2)
    return moved.view(batch, fold, height, breadth)


def _frame_products(grad: Tensor, x: Tensor, taps: _Taps, fold: int) -> Tensor:
    """For each tap the inner product of ``grad`` with what it read, over a group's channels and pixels (2, B, T, G).

    All frames of a clip are multiplied with all others, and the products of the taps picked: more arithmetic than two
    gathers need, but each row is read once. Like every matrix product of a backward pass it obeys PyTorch's setting of
    float32 precision (TensorFloat-32) on a GPU.
    """
    _, clips, frames, groups = taps.rows.shape
    channels_last, dtype = is_channels_last(grad), taps.weights.dtype

    def by_group(features: Tensor) -> Tensor:
        moving = features[:, :fold].to(dtype)
        height, breadth = moving.shape[2:]
        run = fold // groups * height * breadth
        if channels_last:
            pixels = moving.permute(0, 2, 3, 1).reshape(clips, frames, height * breadth, groups, fold // groups)
            return pixels.permute(0, 3, 1, 2, 4).reshape(clips * groups, frames, run)
        return moving.reshape(clips, frames, groups, run).transpose(1, 2).reshape(clips * groups, frames, run)

    products = torch.bmm(by_group(grad), by_group(x).mT).view(clips, groups, frames, frames).permute(0, 2, 1, 3)
    start = torch.arange(0, clips * frames, frames, device=x.device)[:, None, None]
    picked = products.expand(2, clips, frames, groups, frames).gather(4, (taps.rows - start)[..., None])
    return torch.where(taps.inside, picked.squeeze(4), 0)


def _table(x: Tensor, fold: int, width: int, dtype: torch.dtype, channels_last: bool) -> Tensor:
    """``x`` as (B*T, pixels, columns, row): column ``g`` is group ``g`` of the fold; a view if it can be.

    Columns past the fold are never read: they are there only where leaving them spares a copy.
    """
    source = x if x.dtype == dtype and x.shape[1] % width == 0 else x[:, :fold].to(dtype)
    batch, channels, height, breadth = source.shape
    if channels_last:
        return source.permute(0, 2, 3, 1).reshape(batch, height * breadth, channels // width, width)
    return source.reshape(batch, 1, channels // width, width * height * breadth)


def _table_index(rows: Tensor, pixels: int, columns: int) -> Tensor:
    """Rows of (B*T) as rows of the flattened table: (B, T, G, taps) -> (B*T, pixels, G, taps)."""
    pixel = torch.arange(pixels, device=rows.device)[:, None, None]
    group = torch.arange(rows.shape[2], device=rows.device)[:, None]
    return (rows.flatten(0, 1)[:, None] * pixels + pixel) * columns + group
