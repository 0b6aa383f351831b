"""The steering networks as one operation: against a float64 loop, and what it promises PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.steering import networks
from tinkit.ops import Steering, steer
from tinkit.ops.steer import check_steering


def loops(pooled: Tensor, weights: Steering) -> tuple[list[list[float]], list[list[list[float]]]]:
    """Offsets and gains a frame and a channel at a time."""
    frames, fold = weights.fc1_weight.shape[0], pooled.shape[1]

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    def convolved(clip: list[list[float]], filters: Tensor, bias: float, t: int) -> float:
        taps = [(s, j) for j, s in enumerate((t - 1, t, t + 1)) if 0 <= s < frames]
        return bias + sum(clip[s][f] * float(filters[f, j]) for s, j in taps for f in range(fold))

    offsets, gains = [], []
    for clip in pooled.view(-1, frames, fold).tolist():
        along = [
            convolved(clip, weights.offset_conv_weight[0], float(weights.offset_conv_bias), t) for t in range(frames)
        ]
        layer = zip(weights.fc1_weight.tolist(), weights.fc1_bias.tolist(), strict=True)
        active = [max(0.0, b + sum(w * a for w, a in zip(row, along, strict=True))) for row, b in layer]
        layer = zip(weights.fc2_weight.tolist(), weights.fc2_bias.tolist(), strict=True)
        z = [b + sum(w * a for w, a in zip(row, active, strict=True)) for row, b in layer]
        learned = [4 * (sigmoid(value) - 0.5) for value in z]
        offsets.append([*learned, *(-value for value in learned)])
        filters = list(zip(weights.gain_conv_weight, weights.gain_conv_bias.tolist(), strict=True))
        gains.append([[2 * sigmoid(convolved(clip, f, b, t)) for f, b in filters * 2] for t in range(frames)])
    return offsets, gains


@settings(max_examples=60)
@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 5), st.booleans(), st.integers(0, 2**31))
def test_against_loops(clips: int, frames: int, fold: int, double: bool, seed: int) -> None:
    torch.manual_seed(seed)
    dtype = torch.float64 if double else torch.float32
    weights, pooled = networks(fold, frames, dtype), torch.randn(clips * frames, fold, dtype=dtype)
    offset, gain = steer(pooled, weights)
    assert (offset.shape, gain.shape) == ((clips, 4), (clips, frames, 4))
    wanted = [
        torch.tensor(numbers, dtype=torch.float64).view(ours.shape)
        for numbers, ours in zip(loops(pooled, weights), (offset, gain), strict=True)
    ]
    tolerance = 1e-12 if double else 2e-5
    torch.testing.assert_close(offset.double(), wanted[0], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(gain.double(), wanted[1], rtol=tolerance, atol=tolerance)


def test_gradcheck_and_opcheck() -> None:
    weights, pooled = networks(5, 4), torch.randn(8, 5, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (pooled, *weights)]
    assert torch.autograd.gradcheck(lambda pooled, *weights: steer(pooled, weights), inputs)
    torch.library.opcheck(torch.ops.tinkit.steer.default, tuple(inputs))
    still = tuple(tensor.detach() for tensor in inputs)
    grads = (torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, 4, dtype=torch.float64))
    torch.library.opcheck(torch.ops.tinkit.steer_backward.default, (*grads, *still))


@pytest.mark.parametrize("only", [0, 1])
def test_one_result_alone_has_gradients(only: int) -> None:
    inputs = [tensor.requires_grad_() for tensor in (torch.randn(8, 5, dtype=torch.float64), *networks(5, 4))]
    found = torch.autograd.grad(steer(inputs[0], inputs[1:])[only].square().sum(), inputs)
    touched = [bool(gradient.abs().sum() > 0) for gradient in found[1:]]
    assert touched == ([True] * 6 + [False] * 2 if only == 0 else [False] * 6 + [True] * 2)


def test_extreme_averages_stay_in_range() -> None:
    weights = networks(4, 8, torch.float32)
    inputs = [tensor.requires_grad_() for tensor in (torch.full((8, 4), 1e30), *weights)]
    offset, gain = steer(inputs[0], inputs[1:])
    assert float(offset.detach().abs().max()) <= 2
    assert float(gain.detach().min()) >= 0
    assert float(gain.detach().max()) <= 2
    gradients = torch.autograd.grad(gain.sum() + offset.sum(), inputs)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_precision_is_kept_under_autocast_and_from_half_weights() -> None:
    weights, pooled = networks(5, 4, torch.float32), torch.randn(8, 5)
    plain = steer(pooled, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = steer(pooled, weights)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))
    low = [weight.bfloat16().requires_grad_() for weight in weights]
    offset, gain = steer(pooled, low)
    exact = steer(pooled.double(), [weight.double() for weight in low])
    assert offset.dtype == gain.dtype == torch.float32
    torch.testing.assert_close(offset.double(), exact[0], rtol=1e-5, atol=1e-5)
    assert {gradient.dtype for gradient in torch.autograd.grad(offset.sum() + gain.sum(), low)} == {torch.bfloat16}


def test_wrong_arguments_name_their_shapes() -> None:
    weights, pooled = networks(5, 4), torch.randn(8, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"clips of 4 frames.*\(7, 5\)"):
        steer(pooled[:7], weights)
    with pytest.raises(ValueError, match=r"expected weights.*\(8, 4\)"):
        steer(pooled[:, :4], weights)
    with pytest.raises(ValueError, match="eight weights"):
        steer(pooled, weights[:7])
    with pytest.raises(ValueError, match="float32 or float64 throughout"):
        check_steering(pooled.float(), weights)
