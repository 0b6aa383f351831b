"""What the operators count as in PyTorch's ``torch.utils.flop_counter``, for everybody who counts.

As PyTorch counts its own: two for every product of a convolution or a matrix, nothing for what is elementwise (moving,
pooling, squashing). A backward pass counts as that of the same network made of PyTorch's modules would: what the
operator computes a second time, to have kept less, is left out. Operators that only move have no formula, as PyTorch's
own have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

Shape = Sequence[int]


def register() -> None:
    """Tell PyTorch the formulas; once, when the operators have been defined."""
    formulas: dict[str, Callable[..., int]] = {
        "steer": _steer,
        "steer_backward": _steer_backward,
        "interlaced_conv": _interlaced_conv,
        "interlaced_conv_backward": _interlaced_conv_backward,
        "steered_conv": _steered_conv,
        "steered_conv_backward": _steered_conv_backward,
    }
    for name, formula in formulas.items():
        register_flop_formula(getattr(torch.ops.tinkit, name))(formula)


def _convolution(weight: Shape, out: Shape) -> int:
    """A convolution, and either half of its backward pass: every output is a product with one filter."""
    return 2 * prod(out) * prod(weight[1:])


def _networks(pooled: Shape, weights: Sequence[Shape]) -> tuple[int, int]:
    """The convolutions over time, of one channel and of two, and the two Linear layers."""
    rows, frames = pooled[0], weights[2][0]
    filters = _convolution(weights[0], (rows, 1)) + _convolution(weights[6], (rows, 2))
    return filters, 2 * (rows // frames) * (prod(weights[2]) + prod(weights[4]))


def _steer(pooled: Shape, *weights: Shape, out_shape: Any) -> int:
    return sum(_networks(pooled, weights))


def _steer_backward(_offset: Shape, _gain: Shape, pooled: Shape, *weights: Shape, out_shape: Any) -> int:
    """Of averages and of weights: two products for each of the forward pass."""
    return 2 * sum(_networks(pooled, weights))


def _interlaced_conv(*arguments: Any, out_shape: Shape) -> int:
    return _convolution(arguments[4], out_shape)


def _interlaced_conv_backward(grad: Shape, *arguments: Any, out_shape: Any) -> int:
    of_x, of_steering, of_weight, _ = arguments[-1]
    return _convolution(arguments[4], grad) * ((of_x or of_steering) + of_weight)


def _steered_conv(x: Shape, fold: int, *arguments: Any, out_shape: Any) -> int:
    return sum(_networks((x[0], fold), arguments[:8])) + _convolution(arguments[8], out_shape[0])


def _steered_conv_backward(grad: Shape, *arguments: Any, out_shape: Any) -> int:
    x, fold, *rest = arguments[6:]
    of_x, of_steering, of_weight, _ = rest[-1]
    steering = 2 * sum(_networks((x[0], fold), rest[:8])) if of_x or of_steering else 0
    return steering + _convolution(rest[8], grad) * ((of_x or of_steering) + of_weight)
