"""Interlace and the convolution behind it as one operator, without a copy of the channels that do not move.

From outside it is functional. Inside, forward and backward borrow the features: the interlaced fold is written over
them, the convolution reads them, and the fold is put back before the operator returns, also when the convolution
raises. No hook, compiler or exporter sees what lies between, and autograd's count of changes does not move. Features
that :func:`~tinkit.ops.layout.may_borrow` refuses are interlaced into a new tensor instead, with the same result.

Borrowing cannot see who else uses the same features meanwhile: another thread, a CUDA stream that does not
wait for the current one, an interrupt (Ctrl-C) between the writing and the convolution. In a network the features are
the block's own input, which is read again only afterwards; code that shares features otherwise calls ``interlace``
and a convolution.

Backward saves the inputs only and interlaces again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinkit.ops.interlace import check_arguments, interlace, steering_for
from tinkit.ops.layout import as_dense, empty_fold, laid_out_as, may_borrow
from tinkit.ops.library import (
    autocast_rule,
    define,
    define_inner,
    fake,
    gradients,
    is_transformed,
    plain,
    to_autocast,
)
from tinkit.ops.reference import interlace_reference

_INPUTS = "Tensor x, Tensor offset, Tensor gain, int fold, Tensor weight, Tensor? bias"
SETTINGS = "int[2] stride, int[2] padding, int[2] dilation, int groups"
define(f"interlaced_conv({_INPUTS}, {SETTINGS}) -> Tensor")
define_inner(
    f"interlaced_conv_backward(Tensor grad, {_INPUTS}, {SETTINGS}, bool[4] wanted)"
    " -> (Tensor? grad_x, Tensor? grad_offset, Tensor? grad_gain, Tensor? grad_weight, Tensor? grad_bias)"
)

Pair = Sequence[int]


class Settings(NamedTuple):
    """How a convolution runs: (height, width) pairs, and the number of its groups."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


class Moving(NamedTuple):
    """The arguments of :func:`tinkit.ops.interlace`, in its order."""

    x: Tensor
    offset: Tensor
    gain: Tensor
    fold: int


def interlaced_conv(
    x: Tensor,
    offset: Tensor,
    gain: Tensor,
    fold: int,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``conv2d(interlace(x, offset, gain, fold), weight, bias, stride, padding, dilation, groups)``.

    ``x``, ``offset``, ``gain`` and ``fold`` as in :func:`tinkit.ops.interlace`, ``weight`` and ``bias`` as in
    ``torch.nn.functional.conv2d``, (height, width) pairs zero-padded. ``x`` is as it was when this returns or raises,
    but is written to meanwhile: nothing else may read it at the same time. Under autocast features, weight and bias are
    cast, offsets and gains are not.

    Raises ``ValueError`` for an interlace that cannot be, ``RuntimeError`` for such a convolution.
    """
    check_arguments(x, offset, gain, fold)
    if torch.compiler.is_exporting() or is_transformed():
        return F.conv2d(interlace(x, offset, gain, fold), weight, bias, stride, padding, dilation, groups)
    offset, gain = steering_for(x, offset, gain)
    return torch.ops.tinkit.interlaced_conv(
        as_dense(x), offset, gain, fold, weight, bias, stride, padding, dilation, groups
    )


@contextmanager
def interlaced(
    x: Tensor, offset: Tensor, gain: Tensor, fold: int, *others: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For the block: ``x`` interlaced, to be read only; and the fold as it was before, dense, which may be kept.

    ``others`` are what the block reads beside them. ``x`` itself is written to where that may be, and put back.
    """
    if not may_borrow(x, offset, gain, *others):
        yield torch.ops.tinkit.interlace(x, offset, gain, fold), empty_fold(x, fold).copy_(x[:, :fold])
        return
    borrowed = x.data  # with its own count of changes: to autograd, x has not changed
    saved = torch.ops.tinkit.interlace_write_(borrowed, offset, gain, fold, False)
    try:
        yield borrowed, saved
    finally:
        torch.ops.tinkit.fold_restore_(borrowed, saved)


@plain("interlaced_conv")
def _forward(
    x: Tensor, offset: Tensor, gain: Tensor, fold: int, weight: Tensor, bias: Tensor | None, *settings: Any
) -> Tensor:
    check_arguments(x, offset, gain, fold)
    with interlaced(x, offset, gain, fold, weight, bias) as (moved, _):
        return convolution(moved, weight, bias, *settings)


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """``torch.nn.functional.conv2d`` of what an operator is given."""
    return torch.ops.aten.convolution(x, weight, bias, stride, padding, dilation, False, (0, 0), groups)


def convolution_gradients(
    grad: Tensor, moving: Moving, weight: Tensor, bias: Tensor | None, settings: Settings, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The convolution's part of a backward pass; ``wanted`` are the gradients of the features, weight and bias.

    Returns the gradient of the interlaced features (None where it was not wanted), the fold of ``moving.x``, dense, and
    the gradients of weight and bias.
    """
    stride, padding, dilation, groups = settings
    sizes = None if bias is None else bias.shape
    with interlaced(*moving, weight, grad) as (moved, before):
        grad_moved, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            grad, moved, weight, sizes, stride, padding, dilation, False, (0, 0), groups, wanted
        )
    if wanted[0]:
        grad_moved = laid_out_as(moving.x, grad_moved)
    if wanted[1]:
        grad_weight = laid_out_as(weight, grad_weight)
    return grad_moved, before, grad_weight, grad_bias


@plain("interlaced_conv_backward")
def _backward(
    grad: Tensor,
    x: Tensor,
    offset: Tensor,
    gain: Tensor,
    fold: int,
    weight: Tensor,
    bias: Tensor | None,
    *rest: Any,
) -> tuple[Tensor | None, ...]:
    *settings, (of_x, of_steering, of_weight, of_bias) = rest
    through = of_x or of_steering
    grad_x, before, grad_weight, grad_bias = convolution_gradients(
        grad, Moving(x, offset, gain, fold), weight, bias, Settings(*settings), (through, of_weight, of_bias)
    )
    if not through:
        return None, None, None, grad_weight, grad_bias
    grad_offset, grad_gain = None, None
    if of_steering:
        grad_offset, grad_gain = torch.ops.tinkit.interlace_products(grad_x, before, offset, gain)
    if of_x:
        torch.ops.tinkit.interlace_transpose_(grad_x, offset, gain, fold, None)  # this gradient has no other reader yet
    return grad_x if of_x else None, grad_offset, grad_gain, grad_weight, grad_bias


@fake("interlaced_conv")
def _forward_shape(
    x: Tensor, offset: Tensor, gain: Tensor, fold: int, weight: Tensor, bias: Tensor | None, *settings: Any
) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return convolution(x, weight, bias, *settings)


@fake("interlaced_conv_backward")
def _backward_shape(
    grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int, weight: Tensor, bias: Tensor | None, *rest: Any
) -> tuple[Tensor | None, ...]:
    of_x, of_steering, of_weight, of_bias = rest[-1]
    wanted = ((x, of_x), (offset, of_steering), (gain, of_steering), (weight, of_weight), (bias, of_bias))
    return tuple(torch.empty_like(tensor) if yes and tensor is not None else None for tensor, yes in wanted)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offset, gain, ctx.fold, weight, bias, *ctx.settings = inputs
    ctx.save_for_backward(x, offset, gain, weight, bias)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, offset, gain, weight, bias = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = (needs[0], needs[1] or needs[2], needs[4], bias is not None and needs[5])
    grad_x, grad_offset, grad_gain, grad_weight, grad_bias = torch.ops.tinkit.interlaced_conv_backward(
        as_dense(grad), x, offset, gain, ctx.fold, weight, bias, *ctx.settings, wanted
    )
    return grad_x, grad_offset, grad_gain, None, grad_weight, grad_bias, None, None, None, None


def _cast(
    dtype: torch.dtype, x: Tensor, offset: Tensor, gain: Tensor, fold: int, weight: Tensor, bias: Tensor | None,
    *settings: Any,
) -> tuple[Any, ...]:  # fmt: skip
    bias = None if bias is None else to_autocast(bias, dtype)
    return to_autocast(x, dtype), offset, gain, fold, to_autocast(weight, dtype), bias, *settings


def _saved(ctx: Any) -> tuple[Any, ...]:
    x, offset, gain, weight, bias = ctx.saved_tensors
    return x, offset, gain, ctx.fold, weight, bias, *ctx.settings


def interlaced_conv_reference(
    x: Tensor, offset: Tensor, gain: Tensor, fold: int, weight: Tensor, bias: Tensor | None, *settings: Any
) -> Tensor:
    """The operator in operations that autograd knows."""
    return convolution(interlace_reference(x, offset, gain, fold), weight, bias, *settings)


gradients("interlaced_conv", _save, _gradients, _saved, interlaced_conv_reference)
autocast_rule("interlaced_conv", _cast)
