"""The operators on the fold alone: its interlacing, its mean over pixels, and what a convolution behind it needs.

``interlace_fold`` and ``fold_mean`` are functional. The others are for other operators only (:mod:`tinkit.ops.conv`),
without gradients: ``interlace_write_`` and ``fold_restore_`` write to features for a while, and the writer must restore
them before anything else reads them; ``interlace_products`` and ``interlace_transpose_`` are the two halves of a
backward pass, the second in place, for a gradient that has no other reader yet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tinkit.ops.gather import gather_backward, gather_fold, gather_products
from tinkit.ops.interlace import check_arguments, save_inputs, saved_inputs, steering_for
from tinkit.ops.layout import as_dense, empty_fold, laid_out_as
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
from tinkit.ops.reference import interlace_over_time, interlace_reference

define("interlace_fold(Tensor x, Tensor offset, Tensor gain, int fold) -> Tensor")
define_inner(
    "interlace_fold_backward(Tensor grad, Tensor x, Tensor offset, Tensor gain, int fold) -> (Tensor, Tensor, Tensor)"
)
define("fold_mean(Tensor x, int fold) -> Tensor")
define_inner("interlace_write_(Tensor(a!) x, Tensor offset, Tensor gain, int fold, bool transposed) -> Tensor")
define_inner("fold_restore_(Tensor(a!) x, Tensor saved) -> ()")
define_inner(
    "interlace_products(Tensor grad, Tensor moving, Tensor offset, Tensor gain) -> (Tensor offset, Tensor gain)"
)
define_inner("interlace_transpose_(Tensor(a!) grad, Tensor offset, Tensor gain, int fold, Tensor? added) -> ()")


def interlace_fold(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """The first ``fold`` channels of :func:`tinkit.ops.interlace`, without the others: (B*T, fold, H, W).

    Takes and raises what :func:`tinkit.ops.interlace` does; the result has the dtype and memory format of ``x``.
    """
    check_arguments(x, offset, gain, fold)
    if torch.compiler.is_exporting():
        return interlace_over_time(x[:, :fold], offset, gain, fold)
    if is_transformed():
        return _reference(x, *steering_for(x, offset, gain), fold)
    return torch.ops.tinkit.interlace_fold(as_dense(x), *steering_for(x, offset, gain), fold)


def fold_mean(x: Tensor, fold: int) -> Tensor:
    """The mean over height and width of the first ``fold`` channels: (B*T, C, H, W) -> (B*T, fold).

    Float32, or float64 for float64 features, also under autocast. Raises ``ValueError`` for features of other than four
    dimensions, for integers, and for a ``fold`` that is not between 1 and C.
    """
    check_mean(x, fold)
    if torch.compiler.is_exporting() or is_transformed():
        return mean_reference(x, fold)
    return torch.ops.tinkit.fold_mean(as_dense(x), fold)


def check_mean(x: Tensor, fold: int) -> None:
    """Raise ``ValueError`` unless ``x`` is features (B*T, C, H, W) of at least ``fold`` channels."""
    if x.ndim != 4 or not x.is_floating_point() or not 0 < fold <= x.shape[1]:
        raise ValueError(
            f"fold_mean: expected floating x (B*T, C, H, W) and fold from 1 to C; got x {tuple(x.shape)} of {x.dtype},"
            f" fold {fold}"
        )


@plain("interlace_fold")
def _forward(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return gather_fold(x, offset, gain, fold)


@plain("interlace_fold_backward")
def _backward(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    check_arguments(x, offset, gain, fold)
    moved, grad_offset, grad_gain = gather_backward(grad, x[:, :fold], offset, gain, fold)
    return _widened(moved, x), grad_offset, grad_gain


@plain("fold_mean")
def mean_reference(x: Tensor, fold: int) -> Tensor:
    """:func:`fold_mean` in operations that autograd knows."""
    check_mean(x, fold)
    return x[:, :fold].mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))


@plain("interlace_write_")
def _write(x: Tensor, offset: Tensor, gain: Tensor, fold: int, transposed: bool) -> Tensor:
    check_arguments(x, offset, gain, fold)
    moved = gather_fold(x, offset, gain, fold, transposed=transposed)
    saved = empty_fold(x, fold).copy_(x[:, :fold])
    x[:, :fold] = moved
    return saved


@plain("fold_restore_")
def _restore(x: Tensor, saved: Tensor) -> None:
    x[:, : saved.shape[1]] = saved


@plain("interlace_products")
def _products(grad: Tensor, moving: Tensor, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of offset and gain, from that of all features and the fold alone (B*T, fold, H, W)."""
    fold = moving.shape[1]
    if grad.is_cuda:  # there one kernel gives all gradients
        found = torch.ops.tinkit.interlace_backward(
            empty_fold(grad, fold).copy_(grad[:, :fold]), moving, offset, gain, fold
        )
        return found[1], found[2]
    return gather_products(grad, moving, offset, gain, fold)


@plain("interlace_transpose_")
def _transpose(grad: Tensor, offset: Tensor, gain: Tensor, fold: int, added: Tensor | None) -> None:
    """The gradient of the interlaced features becomes that of the features; ``added`` (B*T, fold) to all pixels."""
    torch.ops.tinkit.interlace_write_(grad, offset, gain, fold, True)
    if added is not None:
        grad[:, :fold] += added[..., None, None]


@fake("interlace_fold")
def _forward_shape(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return empty_fold(x, fold)


@fake("interlace_fold_backward")
def _backward_shape(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), offset.new_empty(offset.shape), gain.new_empty(gain.shape)


@fake("fold_mean")
def _mean_shape(x: Tensor, fold: int) -> Tensor:
    check_mean(x, fold)
    return x.new_empty((x.shape[0], fold), dtype=torch.promote_types(x.dtype, torch.float32))


@fake("interlace_write_")
def _write_shape(x: Tensor, offset: Tensor, gain: Tensor, fold: int, transposed: bool) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return empty_fold(x, fold)


@fake("fold_restore_")
def _restore_shape(x: Tensor, saved: Tensor) -> None:
    return None


@fake("interlace_products")
def _products_shape(grad: Tensor, moving: Tensor, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    return offset.new_empty(offset.shape), gain.new_empty(gain.shape)


@fake("interlace_transpose_")
def _transpose_shape(grad: Tensor, offset: Tensor, gain: Tensor, fold: int, added: Tensor | None) -> None:
    return None


def _widened(fold: Tensor, x: Tensor) -> Tensor:
    """A new tensor laid out as ``x``: the fold given, zeros behind it."""
    out = torch.empty_like(x)
    out[:, : fold.shape[1]] = fold
    out[:, fold.shape[1] :] = 0
    return out


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    x, offset, gain = ctx.saved_tensors
    return *torch.ops.tinkit.interlace_fold_backward(laid_out_as(x, grad), x, offset, gain, ctx.fold), None


def _save_features(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    # Kept for its shape and layout alone; the operators beside this one keep the same tensor.
    x, ctx.fold = inputs
    ctx.save_for_backward(x)


def _mean_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    height, width = x.shape[2:]
    share = (grad / (height * width))[..., None, None].expand(-1, -1, height, width)
    return _widened(share, x), None


def _saved_features(ctx: Any) -> tuple[Tensor, int]:
    return *ctx.saved_tensors, ctx.fold


def _reference(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    return interlace_reference(x[:, :fold], offset, gain, fold)


gradients("interlace_fold", save_inputs, _gradients, saved_inputs, _reference)
gradients("fold_mean", _save_features, _mean_gradients, _saved_features, mean_reference)
autocast_rule("interlace_fold", lambda dtype, x, *steering: (to_autocast(x, dtype), *steering))
