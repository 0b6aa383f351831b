"""The interlace operator as PyTorch sees it: schema, checks, shapes, gradients and the rule under autocast.

The fold, which is the first ``fold`` channels, is cut into ``G`` equal groups in channel order. For channel ``c`` of
group ``g``, with ``k = floor(offset[b, g])`` and ``r = offset[b, g] - k``::

    y[b, t, c] = gain[b, t, g] * ((1 - r) * x[b, t - k, c] + r * x[b, t - k - 1, c])

The other channels pass unchanged. A frame outside the clip reads as zero, so an offset of ``T`` frames or more, or one
that is not finite, silences its group. A positive offset brings the past forward. The formula is that of the Temporal
Interlacing Network (arXiv 2001.06499, section 3); its derivatives take ``k`` for a constant::

    dL/dx      the transpose of the same gather
    dL/doffset sum over t, h, w and the group's channels of dL/dy * gain * (x[b, t - k - 1, c] - x[b, t - k, c])
    dL/dgain   sum over h, w and the group's channels of dL/dy * the interpolation without its gain

``tinkit::interlace`` and ``tinkit::interlace_backward`` are ordinary PyTorch operators: they work on any device,
under ``torch.compile(fullgraph=True)``, ``torch.export`` and autocast. Nothing here waits for a device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tinkit.ops.gather import gather_backward, gather_forward

_LIBRARY = torch.library.Library("tinkit", "FRAGMENT")
_LIBRARY.define("interlace(Tensor x, Tensor offset, Tensor gain, int fold) -> Tensor")
_LIBRARY.define(
    "interlace_backward(Tensor grad, Tensor x, Tensor offset, Tensor gain, int fold) -> (Tensor, Tensor, Tensor)"
)


def interlace(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """Move the first ``fold`` channels of ``x`` through time; the rest is copied.

    ``x`` (B*T, C, H, W), clip-major, any floating dtype, contiguous or channels_last; ``offset`` (B, G) in frames;
    ``gain`` (B, T, G), one for each *output* frame. The number of frames ``T`` is ``gain``'s. Returns a new tensor of
    ``x``'s shape, dtype and memory format. Arithmetic is float32 (float64 for float64 features) whatever the dtype of
    the features; offsets and gains may be float32 beside half-precision features, and should be.

    Under autocast the features are cast to the autocast dtype, offsets and gains are not: eight bits of mantissa would
    move an offset near 2 by up to 1/128 of a frame.

    Raises ``ValueError`` naming the shapes if they do not fit together. There are no second derivatives.
    """
    return torch.ops.tinkit.interlace(x, offset, gain, fold)


def check_arguments(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> None:
    """Raise ``ValueError``, naming the shapes, unless the arguments of :func:`interlace` fit together."""
    shapes = f"x {tuple(x.shape)}, offset {tuple(offset.shape)}, gain {tuple(gain.shape)}, fold {fold}"
    if x.ndim != 4 or offset.ndim != 2 or gain.ndim != 3:
        raise ValueError(f"interlace: expected x (B*T, C, H, W), offset (B, G) and gain (B, T, G); got {shapes}")
    clips, frames, groups = gain.shape
    if tuple(offset.shape) != (clips, groups):
        raise ValueError(f"interlace: offset (B, G) and gain (B, T, G) disagree on B or G; got {shapes}")
    if x.shape[0] != clips * frames:
        raise ValueError(f"interlace: x has {x.shape[0]} rows, gain says B*T = {clips}*{frames}; got {shapes}")
    if groups < 1 or not 0 < fold <= x.shape[1] or fold % groups:
        raise ValueError(
            f"interlace: fold must be a positive multiple of the {groups} groups and at most the {x.shape[1]} channels;"
            f" got {shapes}"
        )
    if not (x.is_floating_point() and offset.is_floating_point() and gain.is_floating_point()):
        raise ValueError(f"interlace: expected floating dtypes; got x {x.dtype}, offset {offset.dtype}, {gain.dtype}")
    if not x.device == offset.device == gain.device:
        raise ValueError(f"interlace: expected one device; got x {x.device}, offset {offset.device}, {gain.device}")


@torch.library.impl(_LIBRARY, "interlace", "CompositeExplicitAutograd")
def _forward(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return gather_forward(x, offset, gain, fold)


@torch.library.impl(_LIBRARY, "interlace_backward", "CompositeExplicitAutograd")
def _backward(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    check_arguments(x, offset, gain, fold)
    return gather_backward(grad, x, offset, gain, fold)


@torch.library.register_fake("tinkit::interlace", lib=_LIBRARY)
def _forward_shape(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    check_arguments(x, offset, gain, fold)
    return torch.empty_like(x)


@torch.library.register_fake("tinkit::interlace_backward", lib=_LIBRARY)
def _backward_shape(grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), offset.new_empty(offset.shape), gain.new_empty(gain.shape)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    x, offset, gain, ctx.fold = inputs
    ctx.save_for_backward(x, offset, gain)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *torch.ops.tinkit.interlace_backward(grad, *ctx.saved_tensors, ctx.fold), None


torch.library.register_autograd("tinkit::interlace", _gradients, setup_context=_save_inputs, lib=_LIBRARY)


def _autocast(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """Features to the autocast dtype (float64 stays, as everywhere under autocast); offsets and gains as they are."""
    device = x.device.type
    dtype = x.dtype if x.dtype == torch.float64 else torch.get_autocast_dtype(device)
    with torch.autocast(device, enabled=False):
        return torch.ops.tinkit.interlace(x.to(dtype), offset, gain, fold)


for _key in ("AutocastCPU", "AutocastCUDA"):
    _LIBRARY.impl("interlace", _autocast, _key)
