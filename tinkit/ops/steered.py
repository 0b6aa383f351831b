"""A convolution and all that a network which interlaces puts before it, as one operator: pool, steer, interlace.

It is :func:`~tinkit.ops.fold_mean`, :func:`~tinkit.ops.steer` and :func:`~tinkit.ops.interlaced_conv`, one after the
other, with the same numbers. They are one for the sake of the backward pass: as three, autograd would make a gradient
as wide as the features for the mean alone, zero past the fold, and add it to the convolution's. Here the mean's part is
added to the fold of the one gradient there is, before anybody has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tinkit.ops.conv import (
    SETTINGS,
    Pair,
    Settings,
    convolution,
    convolution_gradients,
    interlaced,
    interlaced_conv,
)
from tinkit.ops.fold import check_mean, fold_mean
from tinkit.ops.interlace import check_arguments
from tinkit.ops.layout import settled
from tinkit.ops.library import autocast_rule, define, fake, gradients, plain, to_autocast
from tinkit.ops.steer import check_steering, steer, steering_weights

_INPUTS = "Tensor x, int fold, Tensor[] steering, Tensor weight, Tensor? bias"
define(f"steered_conv({_INPUTS}, {SETTINGS}) -> (Tensor out, Tensor pooled, Tensor offset, Tensor gain)")
define(
    "steered_conv_backward(Tensor grad, Tensor? grad_pooled, Tensor? grad_offset, Tensor? grad_gain,"
    f" Tensor pooled, Tensor offset, Tensor gain, {_INPUTS}, {SETTINGS}, bool[4] wanted) -> Tensor[]"
)


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
    if torch.compiler.is_exporting():
        offset, gain = steer(fold_mean(x, fold), steering)
        out = interlaced_conv(x, offset, gain, fold, weight, bias, stride, padding, dilation, groups)
        return out, offset, gain
    out, _, offset, gain = torch.ops.tinkit.steered_conv(
        settled(x), fold, steering, weight, bias, stride, padding, dilation, groups
    )
    return out, offset, gain


@plain("steered_conv")
def _forward(
    x: Tensor, fold: int, steering: Sequence[Tensor], weight: Tensor, bias: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
    x: Tensor,
    fold: int,
    steering: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    *rest: Any,
) -> list[Tensor]:
    """Those of the gradients of x, the steering's eight weights, weight and bias that are wanted, in this order."""
    *settings, (of_x, of_steering, of_weight, of_bias) = rest
    through = of_x or of_steering
    grad_x, before, *results = convolution_gradients(
        grad, x, offset, gain, fold, weight, bias, Settings(*settings), (through, of_weight, of_bias)
    )
    found = [result for result in results if result is not None]
    if not through:
        return found
    to_offset, to_gain = torch.ops.tinkit.interlace_products(grad_x, before, offset, gain)
    to_pooled, *to_weights = torch.ops.tinkit.steer_backward(
        _sum(to_offset, grad_offset), _sum(to_gain, grad_gain), pooled, *steering
    )
    if of_steering:
        found = [*to_weights, *found]
    if of_x:
        share = _sum(to_pooled, grad_pooled).div_(x.shape[2] * x.shape[3])
        torch.ops.tinkit.interlace_transpose_(grad_x, offset, gain, fold, share)
        found = [grad_x, *found]
    return found


def _sum(found: Tensor, given: Tensor | None) -> Tensor:
    """What is found here and what comes from those who read the same; ``found`` is nobody else's."""
    return found if given is None else found.add_(given)


@fake("steered_conv")
def _forward_shape(
    x: Tensor, fold: int, steering: Sequence[Tensor], weight: Tensor, bias: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_mean(x, fold)
    pooled = steering[0].new_empty((x.shape[0], fold))
    check_steering(pooled, steering)
    frames = steering[2].shape[0]
    clips = x.shape[0] // frames
    offset, gain = pooled.new_empty((clips, 4)), pooled.new_empty((clips, frames, 4))
    return convolution(x, weight, bias, *settings), pooled, offset, gain


@fake("steered_conv_backward")
def _backward_shape(grad: Tensor, *rest: Any) -> list[Tensor]:
    x, _, steering, weight, bias = rest[6:11]
    of_x, *others = rest[-1]
    wanted = [([x], of_x), *zip((steering, [weight], [bias]), others, strict=True)]
    return [torch.empty_like(tensor) for tensors, yes in wanted if yes for tensor in tensors]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, ctx.fold, steering, weight, bias, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:], *steering)
    ctx.set_materialize_grads(False)
    ctx.out = output[0].shape, output[0].dtype


def _gradients(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    x, weight, bias, *saved = ctx.saved_tensors
    small, steering = saved[:3], saved[3:]
    grad = grads[0] if grads[0] is not None else x.new_zeros(ctx.out[0], dtype=ctx.out[1])
    needs = ctx.needs_input_grad
    wanted = (needs[0], any(needs[2]), needs[3], bias is not None and needs[4])
    found = iter(
        torch.ops.tinkit.steered_conv_backward(
            settled(grad), *grads[1:], *small, x, ctx.fold, steering, weight, bias, *ctx.settings, wanted
        )
    )
    grad_x = next(found) if wanted[0] else None
    grad_steering = [next(found) if wanted[1] else None for _ in steering]
    grad_weight, grad_bias = (next(found) if yes else None for yes in wanted[2:])
    return grad_x, None, grad_steering, grad_weight, grad_bias, None, None, None, None


def _cast(
    dtype: torch.dtype,
    x: Tensor,
    fold: int,
    steering: list[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    *settings: Any,
) -> tuple[Any, ...]:
    bias = None if bias is None else to_autocast(bias, dtype)
    return to_autocast(x, dtype), fold, steering, to_autocast(weight, dtype), bias, *settings


gradients("steered_conv", _save, _gradients)
autocast_rule("steered_conv", _cast)
