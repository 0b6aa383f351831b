"""The interlace operator as PyTorch sees it: schema, checks, shapes, gradients and the rule under autocast.

The fold, which is the first ``fold`` channels, is cut into ``G`` equal groups in channel order. For channel ``c`` of
group ``g``, with ``k = floor(offset[b, g])`` and ``r = offset[b, g] - k``::

    y[b, t, c] = gain[b, t, g] * ((1 - r) * x[b, t - k, c] + r * x[b, t - k - 1, c])

The other channels pass unchanged. A frame outside the clip reads as zero, so an offset of ``T`` frames or more, or a
non-finite one, silences its group. A positive offset brings the past forward. The formula is that of the Temporal
Interlacing Network (arXiv 2001.06499, section 3); its derivatives take ``k`` for a constant::

    dL/dx      the transpose of the same gather
    dL/doffset sum over t, h, w and the group's channels of dL/dy * gain * (x[b, t - k - 1, c] - x[b, t - k, c])
    dL/dgain   sum over h, w and the group's channels of dL/dy * the interpolation without its gain

``tinkit::interlace`` and ``tinkit::interlace_backward`` are ordinary PyTorch operators: they work on any device,
under ``torch.compile(fullgraph=True)`` and autocast. ``torch.export`` and ONNX get plain PyTorch operations instead, so
that what is exported runs without this package. Nothing here waits for a device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tinkit.ops.gather import gather_backward, gather_forward
from tinkit.ops.layout import as_dense, laid_out_as
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

define("interlace(Tensor x, Tensor offset, Tensor gain, int fold) -> Tensor")
define_inner(
    "interlace_backward(Tensor grad, Tensor x, Tensor offset, Tensor gain, int fold) -> (Tensor, Tensor, Tensor)"
)


def interlace(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """Move the first ``fold`` channels of ``x`` through time; the rest is copied.

    ``x`` (B*T, C, H, W), clip-major, any floating dtype, contiguous or channels_last (any other layout is made
    contiguous first); ``offset`` (B, G) in frames; ``gain`` (B, T, G), one for each *output* frame. The number of
    frames ``T`` is ``gain``'s. Returns a new tensor of ``x``'s shape, dtype and memory format. Arithmetic is float32
    (float64 for float64 features) whatever the dtype of the features; offsets and gains may be float32 beside
    half-precision features, and should be.

    Under autocast the features are cast to the autocast dtype, offsets and gains are not: eight bits of mantissa would
    move an offset near 2 by up to 1/128 of a frame.

    Raises ``ValueError`` naming the shapes if they do not fit together. Second and higher derivatives are those of
    :func:`~tinkit.ops.interlace_reference`, at its speed.
    """
    check_arguments(x, offset, gain, fold)
    if torch.compiler.is_exporting():
        return interlace_over_time(x, offset, gain, fold)
    if is_transformed():
        return interlace_reference(x, *steering_for(x, offset, gain), fold)
    return torch.ops.tinkit.interlace(as_dense(x), *steering_for(x, offset, gain), fold)


def steering_for(x: Tensor, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets and gains as kernels take them beside ``x``: contiguous, float32 or, for float64 features, float64."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return offset.to(dtype).contiguous(), gain.to(dtype).contiguous()


def check_arguments(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> None:
    """Raise ``ValueError``, naming the shapes, unless the arguments of :func:`interlace` fit together."""
    if x.ndim != 4 or offset.ndim != 2 or gain.ndim != 3:
        wrong = "expected x (B*T, C, H, W), offset (B, G) and gain (B, T, G)"
    elif offset.shape[0] != gain.shape[0] or offset.shape[1] != gain.shape[2]:
        wrong = "offset (B, G) and gain (B, T, G) disagree on B or G"
    elif x.shape[0] != gain.shape[0] * gain.shape[1]:
        wrong = f"x has {x.shape[0]} rows, gain says B*T = {gain.shape[0]}*{gain.shape[1]}"
    elif gain.shape[2] < 1 or not 0 < fold <= x.shape[1] or fold % gain.shape[2]:
        wrong = f"fold must be a positive multiple of the {gain.shape[2]} groups and at most the {x.shape[1]} channels"
    elif not (x.is_floating_point() and offset.is_floating_point() and gain.is_floating_point()):
        wrong = f"expected floating dtypes, not x {x.dtype}, offset {offset.dtype}, gain {gain.dtype}"
    elif not x.device == offset.device == gain.device:
        wrong = f"expected one device, not x {x.device}, offset {offset.device}, gain {gain.device}"
    else:
        return
    # The message is put together here alone: shapes that a compiler leaves open cannot be written out.
    shapes = f"x {tuple(x.shape)}, offset {tuple(offset.shape)}, gain {tuple(gain.shape)}, fold {fold}"
    raise ValueError(f"interlace: {wrong}; got {shapes}")


@plain("interlace")
def _forward(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return gather_forward(x, offset, gain, fold)


@plain("interlace_backward")
def _backward(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    check_arguments(x, offset, gain, fold)
    return gather_backward(grad, x, offset, gain, fold)


@fake("interlace")
def _forward_shape(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return torch.empty_like(x)


@fake("interlace_backward")
def _backward_shape(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), offset.new_empty(offset.shape), gain.new_empty(gain.shape)


def save_inputs(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    """Keep x, offset, gain and fold for the backward pass, whatever was made of them."""
    x, offset, gain, ctx.fold = inputs
    ctx.save_for_backward(x, offset, gain)


def saved_inputs(ctx: Any) -> tuple[Tensor, Tensor, Tensor, int]:
    """What :func:`save_inputs` has kept."""
    return *ctx.saved_tensors, ctx.fold


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    x, offset, gain = ctx.saved_tensors
    return *torch.ops.tinkit.interlace_backward(laid_out_as(x, grad), x, offset, gain, ctx.fold), None


gradients("interlace", save_inputs, _gradients, saved_inputs, interlace_reference)
autocast_rule("interlace", lambda dtype, x, *steering: (to_autocast(x, dtype), *steering))
