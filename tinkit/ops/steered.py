"""A convolution and all that a network which interlaces puts before it, as one operator: pool, steer, interlace.

It is :func:`~tinkit.ops.fold_mean`, :func:`~tinkit.ops.steer` and :func:`~tinkit.ops.interlaced_conv`, one after the
other, with the same numbers. They are one for the sake of the backward pass: as three, autograd would make a gradient
as wide as the features for the mean alone, zero past the fold, and add it to the convolution's. Here the mean's part is
added to the fold of the one gradient, before it leaves the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinkit.ops.conv import (
    SETTINGS,
    Moving,
    Pair,
    Settings,
    convolution,
    convolution_gradients,
    interlaced,
    interlaced_conv,
    interlaced_conv_reference,
)
from tinkit.ops.fold import check_mean, fold_mean, mean_reference
from tinkit.ops.interlace import check_arguments
from tinkit.ops.layout import as_dense
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
from tinkit.ops.steer import WEIGHTS, check_steering, steer, steer_reference, steering_weights

_INPUTS = f"Tensor x, int fold, {WEIGHTS}, Tensor weight, Tensor? bias, {SETTINGS}"
define(f"steered_conv({_INPUTS}) -> (Tensor out, Tensor pooled, Tensor offset, Tensor gain)")
define_inner(
    "steered_conv_backward(Tensor grad, Tensor? grad_pooled, Tensor? grad_offset, Tensor? grad_gain,"
    f" Tensor pooled, Tensor offset, Tensor gain, {_INPUTS}, bool[4] wanted) -> ({', '.join(['Tensor?'] * 11)})"
)


class _Inputs(NamedTuple):
    """The operator's arguments. The weights of steering stand singly in its schema: autograd is slow with lists."""

    x: Tensor
    fold: int
    steering: Sequence[Tensor]
    weight: Tensor
    bias: Tensor | None
    settings: Settings


def _inputs(x: Tensor, fold: int, *rest: Any) -> _Inputs:
    return _Inputs(x, fold, rest[:8], rest[8], rest[9], Settings(*rest[10:]))


def steered_conv(
    x: Tensor,
    fold: int,
    steering: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """``interlaced_conv(x, *steer(fold_mean(x, fold), steering), fold, weight, ...)``, and the offsets and gains.

    The arguments are those of the three operators, and so is what is raised. Returns the convolution's output, offsets
    (B, 4) and gains (B, T, 4), float32 or, for float64 weights of steering, float64.
    """
    steering = steering_weights(steering)
    if torch.compiler.is_exporting() or is_transformed():
        offset, gain = steer(fold_mean(x, fold), steering)
        out = interlaced_conv(x, offset, gain, fold, weight, bias, stride, padding, dilation, groups)
        return out, offset, gain
    out, _, offset, gain = torch.ops.tinkit.steered_conv(
        as_dense(x), fold, *steering, weight, bias, stride, padding, dilation, groups
    )
    return out, offset, gain


@plain("steered_conv")
def _forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, fold, steering, weight, bias, settings = _inputs(*arguments)
    check_mean(x, fold)
    pooled = torch.ops.tinkit.fold_mean(x, fold).to(steering[0].dtype)
    check_steering(pooled, steering)
    offset, gain = torch.ops.tinkit.steer(pooled, *steering)
    check_arguments(x, offset, gain, fold)
    with interlaced(x, offset, gain, fold, weight, bias) as (moved, _):
        return convolution(moved, weight, bias, *settings), pooled, offset, gain


@plain("steered_conv_backward")
def _backward(
    grad: Tensor,
    grad_pooled: Tensor | None,
    grad_offset: Tensor | None,
    grad_gain: Tensor | None,
    pooled: Tensor,
    offset: Tensor,
    gain: Tensor,
    *rest: Any,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, the steering's eight weights, weight and bias: those that are wanted."""
    *arguments, (of_x, of_steering, of_weight, of_bias) = rest
    x, fold, steering, weight, bias, settings = _inputs(*arguments)
    through = of_x or of_steering
    grad_x, before, grad_weight, grad_bias = convolution_gradients(
        grad, Moving(x, offset, gain, fold), weight, bias, settings, (through, of_weight, of_bias)
    )
    if not through:
        return *[None] * 9, grad_weight, grad_bias
    to_offset, to_gain = torch.ops.tinkit.interlace_products(grad_x, before, offset, gain)
    to_pooled, *to_steering = torch.ops.tinkit.steer_backward(
        _sum(to_offset, grad_offset), _sum(to_gain, grad_gain), pooled, *steering
    )
    if of_x:
        share = _sum(to_pooled, grad_pooled).div_(x.shape[2] * x.shape[3])
        torch.ops.tinkit.interlace_transpose_(grad_x, offset, gain, fold, share)
    return grad_x if of_x else None, *(to_steering if of_steering else [None] * 8), grad_weight, grad_bias


def _sum(found: Tensor, given: Tensor | None) -> Tensor:
    """The sum of what was computed here and what other readers give; ``found`` has no other reader."""
    return found if given is None else found.add_(given)


@fake("steered_conv")
def _forward_shape(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, fold, steering, weight, bias, settings = _inputs(*arguments)
    check_mean(x, fold)
    pooled = steering[0].new_empty((x.shape[0], fold))
    check_steering(pooled, steering)
    frames = steering[2].shape[0]
    clips = x.shape[0] // frames
    offset, gain = pooled.new_empty((clips, 4)), pooled.new_empty((clips, frames, 4))
    return convolution(x, weight, bias, *settings), pooled, offset, gain


@fake("steered_conv_backward")
def _backward_shape(grad: Tensor, *rest: Any) -> tuple[Tensor | None, ...]:
    *arguments, (of_x, of_steering, of_weight, of_bias) = rest[6:]
    x, _, steering, weight, bias, _ = _inputs(*arguments)
    wanted = [(x, of_x), *[(tensor, of_steering) for tensor in steering], (weight, of_weight), (bias, of_bias)]
    return tuple(torch.empty_like(tensor) if yes and tensor is not None else None for tensor, yes in wanted)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, ctx.fold, steering, weight, bias, ctx.settings = _inputs(*inputs)
    ctx.save_for_backward(*output[1:], x, *steering, weight, bias)
    ctx.set_materialize_grads(False)
    ctx.out = output[0].shape, output[0].dtype


def _gradients(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    pooled, offset, gain, x, *rest = ctx.saved_tensors
    grad = grads[0] if grads[0] is not None else x.new_zeros(ctx.out[0], dtype=ctx.out[1])
    needs = ctx.needs_input_grad
    wanted = (needs[0], any(needs[2:10]), needs[10], rest[-1] is not None and needs[11])
    grad_x, *found = torch.ops.tinkit.steered_conv_backward(
        as_dense(grad), *grads[1:], pooled, offset, gain, x, ctx.fold, *rest, *ctx.settings, wanted
    )
    return grad_x, None, *found, None, None, None, None


def _cast(dtype: torch.dtype, *arguments: Any) -> tuple[Any, ...]:
    x, fold, steering, weight, bias, settings = _inputs(*arguments)
    bias = None if bias is None else to_autocast(bias, dtype)
    return to_autocast(x, dtype), fold, *steering, to_autocast(weight, dtype), bias, *settings


def _saved(ctx: Any) -> tuple[Any, ...]:
    x, *steering_and_rest = ctx.saved_tensors[3:]
    return x, ctx.fold, *steering_and_rest, *ctx.settings


def _reference(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, fold, steering, weight, bias, settings = _inputs(*arguments)
    pooled = mean_reference(x, fold).to(steering[0].dtype)
    offset, gain = steer_reference(pooled, *steering)
    out = interlaced_conv_reference(x, offset, gain, fold, weight, bias, *settings)
    return out, pooled, offset, gain


gradients("steered_conv", _save, _gradients, _saved, _reference)
autocast_rule("steered_conv", _cast)
