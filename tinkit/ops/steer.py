"""The two small networks that say where the fold moves, in one operation.

Both read the fold's mean over pixels, ``pooled`` (B*T, F), as a sequence of T frames of F channels, and share the
convolution over time, three taps with a zero past either end (TIN, arXiv 2001.06499, section 3)::

    a[b, t, n] = bias[n] + sum over f, j of weight[n, f, j] * pooled[b, t + j - 1, f]     n = 0: offsets; 1, 2: gains
    z[b] = fc2(relu(fc1(a[b, :, 0])))                                                       (2)
    offset[b] = (o, -o),  o = 4 * (sigmoid(z[b]) - 0.5) = 2 * tanh(z[b] / 2)                (4), in frames, -2 to 2
    gain[b, t] = (w, w),  w = 2 * sigmoid(a[b, t, 1:])                                      (4), 0 to 2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tinkit.ops.library import define, define_inner, fake, gradients, is_transformed, plain

GROUPS = 4

WEIGHTS = ", ".join(  # as in the schemas of operators
    f"Tensor {name}"
    for name in (
        "offset_conv_weight",
        "offset_conv_bias",
        "fc1_weight",
        "fc1_bias",
        "fc2_weight",
        "fc2_bias",
        "gain_conv_weight",
        "gain_conv_bias",
    )
)
define(f"steer(Tensor pooled, {WEIGHTS}) -> (Tensor offset, Tensor gain)")
define_inner(
    f"steer_backward(Tensor grad_offset, Tensor grad_gain, Tensor pooled, {WEIGHTS}) -> ({', '.join(['Tensor'] * 9)})"
)


class Steering(NamedTuple):
    """The weights of the two networks for F channels and T frames, in the order in which the operator takes them."""

    offset_conv_weight: Tensor  # (1, F, 3)
    offset_conv_bias: Tensor  # (1)
    fc1_weight: Tensor  # (T, T)
    fc1_bias: Tensor  # (T)
    fc2_weight: Tensor  # (2, T)
    fc2_bias: Tensor  # (2)
    gain_conv_weight: Tensor  # (2, F, 3)
    gain_conv_bias: Tensor  # (2)


def steer(pooled: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Offsets (B, 4) in frames and gains (B, T, 4) from ``pooled`` (B*T, F), the fold's mean over pixels.

    ``weights`` are those of :class:`Steering`, in its order; the number of frames ``T`` is ``fc1_weight``'s. All are
    float32 or all float64, contiguous, and so are the results; autocast changes nothing. Half-precision weights are
    taken as float32, and ``pooled`` in the dtype of the weights.

    Raises ``ValueError`` naming the shapes if they do not fit together.
    """
    weights = steering_weights(weights)
    pooled = pooled.to(weights[0].dtype).contiguous()
    check_steering(pooled, weights)
    if torch.compiler.is_exporting() or is_transformed():
        return steer_reference(pooled, *weights)
    offset, gain = torch.ops.tinkit.steer(pooled, *weights)
    return offset, gain


def steering_weights(weights: Sequence[Tensor]) -> list[Tensor]:
    """The weights of steering as kernels take them: contiguous, float32 or, where they are that, float64."""
    dtype = torch.promote_types(weights[0].dtype, torch.float32)
    return [weight.to(dtype).contiguous() for weight in weights]


def check_steering(pooled: Tensor, weights: Sequence[Tensor]) -> None:
    """Raise ``ValueError``, naming the shapes, unless ``pooled`` and the weights fit together."""
    if pooled.ndim != 2 or len(weights) != 8 or weights[2].ndim != 2:
        wrong = "expected pooled (B*T, F) and the eight weights of Steering"
    elif any(weight.dtype != pooled.dtype for weight in weights) or pooled.dtype not in (torch.float32, torch.float64):
        wrong = f"expected float32 or float64 throughout, not {[tensor.dtype for tensor in (pooled, *weights)]}"
    else:
        fold, frames = pooled.shape[1], weights[2].shape[0]
        wanted = [(1, fold, 3), (1,), (frames, frames), (frames,), (2, frames), (2,), (2, fold, 3), (2,)]
        if [tuple(weight.shape) for weight in weights] != wanted:
            wrong = f"expected weights {wanted}"
        elif frames < 1 or pooled.shape[0] % frames:
            wrong = f"the rows of pooled are not clips of {frames} frames"
        else:
            return
    raise ValueError(f"steer: {wrong}; got pooled {tuple(pooled.shape)}, {[tuple(weight.shape) for weight in weights]}")


@plain("steer")
def steer_reference(pooled: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`steer` in operations that autograd knows."""
    check_steering(pooled, weights)
    hidden = _hidden(pooled, Steering(*weights))
    half = torch.tanh(hidden.z / 2) * 2
    return torch.cat([half, -half], 1), torch.cat([hidden.gain, hidden.gain], 2)


class _Hidden(NamedTuple):
    sequence: Tensor  # (B, F, T): pooled as the convolution takes it
    filters: Tensor  # (3, F, 3)
    along: Tensor  # (B, T): the offsets' convolution
    active: Tensor  # (B, T): relu of the first Linear
    z: Tensor  # (B, 2)
    gain: Tensor  # (B, T, 2)


def _hidden(pooled: Tensor, weights: Steering) -> _Hidden:
    frames, fold = weights.fc1_weight.shape[0], pooled.shape[1]
    sequence = pooled.reshape(pooled.shape[0] // frames, frames, fold).transpose(1, 2)
    filters = torch.cat([weights.offset_conv_weight, weights.gain_conv_weight])
    convolved = F.conv1d(sequence, filters, torch.cat([weights.offset_conv_bias, weights.gain_conv_bias]), padding=1)
    along = convolved[:, 0]
    active = torch.relu(F.linear(along, weights.fc1_weight, weights.fc1_bias))
    z = F.linear(active, weights.fc2_weight, weights.fc2_bias)
    return _Hidden(sequence, filters, along, active, z, torch.sigmoid(convolved[:, 1:]).transpose(1, 2) * 2)


@plain("steer_backward")
def steer_gradients(grad_offset: Tensor, grad_gain: Tensor, pooled: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """The gradients of ``pooled`` and the eight weights; what lies between is computed again."""
    steering = Steering(*weights)
    hidden = _hidden(pooled, steering)
    squashed = torch.tanh(hidden.z / 2)
    grad_z = (grad_offset[:, :2] - grad_offset[:, 2:]) * (1 - squashed * squashed)
    grad_linear = (grad_z @ steering.fc2_weight) * (hidden.active > 0)
    gain = hidden.gain
    grad_learned = (grad_gain[..., :2] + grad_gain[..., 2:]) * gain * (1 - gain / 2)
    grad_convolved = torch.cat([(grad_linear @ steering.fc1_weight)[:, None], grad_learned.transpose(1, 2)], 1)
    grad_sequence, grad_filters, grad_bias = torch.ops.aten.convolution_backward(
        grad_convolved, hidden.sequence, hidden.filters, [3], [1], [1], [1], False, [0], 1, [True, True, True]
    )
    return (
        grad_sequence.transpose(1, 2).reshape(pooled.shape),
        grad_filters[:1].clone(),
        grad_bias[:1].clone(),
        grad_linear.mT @ hidden.along,
        grad_linear.sum(0),
        grad_z.mT @ hidden.active,
        grad_z.sum(0),
        grad_filters[1:].clone(),
        grad_bias[1:].clone(),
    )


@fake("steer")
def _forward_shape(pooled: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    check_steering(pooled, weights)
    frames = weights[2].shape[0]
    clips = pooled.shape[0] // frames
    return pooled.new_empty((clips, GROUPS)), pooled.new_empty((clips, frames, GROUPS))


@fake("steer_backward")
def _backward_shape(grad_offset: Tensor, grad_gain: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in inputs)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad_offset: Tensor, grad_gain: Tensor) -> tuple[Tensor, ...]:
    return torch.ops.tinkit.steer_backward(grad_offset.contiguous(), grad_gain.contiguous(), *ctx.saved_tensors)


gradients("steer", _save, _gradients, lambda ctx: ctx.saved_tensors, steer_reference)
