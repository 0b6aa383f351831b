"""The operators of a chain of residual blocks, for networks that own the features between their blocks.

The end of a block, add and ReLU, passes over all features anyway. ``residual_`` does both in one pass, and where the
next block interlaces it does two things more: it puts the channels that will move *beside* the features, in a tensor of
their own, and averages them over pixels. ``interlace_into_`` then writes their interlacing into the features. The
shortcut at the end of that block, which needs the features as they were, takes the fold from beside them. Nothing is
written twice and nothing is put back, which nothing outside may see: these operators are for
:mod:`tinkit.models.chain` only, and have no gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinkit.ops.gather import gather_fold
from tinkit.ops.interlace import check_arguments
from tinkit.ops.library import define_inner, fake, plain

define_inner(
    "residual_(Tensor(a!) x, Tensor shortcut, Tensor(b!)? beside, bool held, bool aside, bool whole) -> Tensor pooled"
)
define_inner("interlace_into_(Tensor(a!) x, Tensor beside, Tensor offset, Tensor gain) -> ()")


def residual_(
    x: Tensor,
    shortcut: Tensor,
    beside: Tensor | None = None,
    *,
    held: bool = False,
    aside: bool = False,
    whole: bool = True,
) -> Tensor:
    """``x`` (B*T, C, H, W) becomes ``relu(x + shortcut)``; both channels_last and dense.

    ``beside`` (B*T, F, H, W) concerns the first F channels: where ``held``, it has those of the shortcut, and the
    shortcut's own are not read. Where ``aside``, their result goes there, too, and its mean over pixels (B*T, F) is
    returned, float32 or, for float64 features, float64; unless ``whole``, ``x`` then keeps what it had in them. Without
    ``aside`` an empty tensor is returned.
    """
    pooled: Tensor = torch.ops.tinkit.residual_(x, shortcut, beside, held, aside, whole)
    return pooled


def interlace_into_(x: Tensor, beside: Tensor, offset: Tensor, gain: Tensor) -> None:
    """The first F channels of ``x`` (B*T, C, H, W) become the interlacing of ``beside`` (B*T, F, H, W).

    ``offset`` (B, G) and ``gain`` (B, T, G) as in :func:`tinkit.ops.interlace`.
    """
    torch.ops.tinkit.interlace_into_(x, beside, offset, gain)


@plain("residual_")
def _residual(x: Tensor, shortcut: Tensor, beside: Tensor | None, held: bool, aside: bool, whole: bool) -> Tensor:
    fold = 0 if beside is None else beside.shape[1]
    if not (aside or whole) or (beside is None and (held or aside)):
        raise ValueError("residual_: expected a place for the result")
    moving = x[:, :fold] + (beside if held and beside is not None else shortcut[:, :fold])
    moving = moving.relu_()
    x[:, fold:].add_(shortcut[:, fold:]).relu_()
    if whole:
        x[:, :fold] = moving
    pooled = torch.promote_types(x.dtype, torch.float32)
    if not aside or beside is None:
        return x.new_empty((0, fold), dtype=pooled)
    beside.copy_(moving)
    return moving.mean((2, 3), dtype=pooled)


@plain("interlace_into_")
def _into(x: Tensor, beside: Tensor, offset: Tensor, gain: Tensor) -> None:
    fold = beside.shape[1]
    check_arguments(x, offset, gain, fold)
    x[:, :fold] = gather_fold(beside, offset, gain, fold)


@fake("residual_")
def _residual_shape(x: Tensor, shortcut: Tensor, beside: Tensor | None, held: bool, aside: bool, whole: bool) -> Tensor:
    fold = 0 if beside is None else beside.shape[1]
    return x.new_empty((x.shape[0] if aside else 0, fold), dtype=torch.promote_types(x.dtype, torch.float32))


@fake("interlace_into_")
def _into_shape(x: Tensor, beside: Tensor, offset: Tensor, gain: Tensor) -> None:
    return None
