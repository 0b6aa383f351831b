"""The interlace operator's numbers: against the reference implementation's, against slow loops, against itself."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.named_weights import GOLDEN
from tinkit.models import TemporalInterlace
from tinkit.ops import interlace, interlace_reference

PARAMETERS = {
    "offset_net.conv": "biasnet.net.conv",
    "offset_net.fc1": "biasnet.net.fc",
    "offset_net.fc2": "biasnet.net.lastlayer",
    "gain_net.conv": "weightnet.net.lastlayer",
}


def relative(ours: Tensor, truth: Tensor) -> float:
    return float(((ours - truth).abs().max() / truth.abs().max()).detach())


def loops(x: np.ndarray, offset: np.ndarray, gain: np.ndarray, fold: int, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Output and gradients in float64, a frame and a channel at a time."""
    clips, frames, groups = gain.shape
    x, grad = (a.astype(np.float64).reshape(clips, frames, *a.shape[1:]) for a in (x, grad))
    out, grad_x = x.copy(), grad.copy()
    out[:, :, :fold] = 0
    grad_x[:, :, :fold] = 0
    grad_offset, grad_gain = np.zeros(offset.shape), np.zeros(gain.shape)
    for b in range(clips):
        for c in range(fold):
            g = c // (fold // groups)
            if not math.isfinite(offset[b, g]):
                continue
            k = math.floor(offset[b, g])
            r = float(offset[b, g]) - k
            for t in range(frames):
                for s, share, slope in ((t - k, 1 - r, -1), (t - k - 1, r, 1)):
                    if 0 <= s < frames:
                        w = float(gain[b, t, g])
                        out[b, t, c] += w * share * x[b, s, c]
                        grad_x[b, s, c] += w * share * grad[b, t, c]
                        product = (grad[b, t, c] * x[b, s, c]).sum()
                        grad_gain[b, t, g] += share * product
                        grad_offset[b, g] += w * slope * product
    return out.reshape(-1, *x.shape[2:]), grad_x.reshape(-1, *x.shape[2:]), grad_offset, grad_gain


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_golden_module(case: str, channels_last: bool) -> None:
    data = np.load(GOLDEN / "interlace.npz")
    sizes = json.loads(str(data["meta"]))[case]
    entry = {name[2:]: torch.from_numpy(data[name]) for name in data.files if name.startswith(f"{case}.")}
    module = TemporalInterlace(sizes["C"], sizes["T"], sizes["shift_div"])
    module.load_state_dict(
        {f"{o}.{p}": entry[f"param.{t}.{p}"] for o, t in PARAMETERS.items() for p in ("weight", "bias")}
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = entry["x"].contiguous(memory_format=layout).requires_grad_()
    offset, gain = module.steer(x)
    out = module(x)
    out.backward(entry["grad_out"])
    assert x.grad is not None
    errors = {
        "offset": relative(offset, entry["offset"]),
        "gain": relative(gain.repeat_interleave(module.fold // 4, 2), entry["weight"]),
        "out": relative(out, entry["out"]),
    }
    gradients = {"x": relative(x.grad, entry["grad_x"])}
    for ours, theirs in PARAMETERS.items():
        for kind in ("weight", "bias"):
            grad = module.get_parameter(f"{ours}.{kind}").grad
            assert grad is not None
            gradients[f"{ours}.{kind}"] = relative(grad, entry[f"grad.{theirs}.{kind}"])
    print(f"case {case}: worst output {max(errors.values()):.1e}, worst gradient {max(gradients.values()):.1e}")
    assert max(errors.values()) <= 1e-5, errors
    assert max(gradients.values()) <= 1e-4, gradients


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_golden_operator_alone(case: str) -> None:
    data = np.load(GOLDEN / "interlace.npz")
    x, offset, weight, out = (torch.from_numpy(data[f"{case}.{name}"]) for name in ("x", "offset", "weight", "out"))
    gain = weight[:, :, :: weight.shape[2] // 4]
    for operator in (interlace, interlace_reference):
        assert relative(operator(x, offset, gain, weight.shape[2]), out) <= 1e-5


offsets = st.one_of(
    st.floats(-8, 8, width=32),
    st.integers(-6, 6).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**63)]),
)


@settings(max_examples=150)
@given(st.data())
def test_against_loops(data: st.DataObject) -> None:
    clips, frames = data.draw(st.integers(0, 3), "clips"), data.draw(st.integers(1, 6), "frames")
    groups, width = data.draw(st.integers(1, 4), "groups"), data.draw(st.integers(1, 3), "width")
    fold = groups * width
    channels = fold + data.draw(st.integers(0, 5), "rest")
    height, breadth = data.draw(st.integers(1, 3), "height"), data.draw(st.integers(1, 3), "breadth")
    double = data.draw(st.booleans(), "double")
    layout = data.draw(st.sampled_from(["contiguous", "channels_last", "sliced", "expanded grad"]), "layout")
    rs = np.random.RandomState(data.draw(st.integers(0, 2**31), "seed"))
    dtype = np.float64 if double else np.float32
    x, grad = (rs.standard_normal((clips * frames, channels, height, breadth)).astype(dtype) for _ in range(2))
    gain = rs.uniform(-2, 2, (clips, frames, groups)).astype(dtype)
    drawn = [data.draw(offsets, "offset") for _ in range(clips * groups)]
    offset = np.array(drawn, dtype=dtype).reshape(clips, groups)
    features, given_grad = torch.from_numpy(x), torch.from_numpy(grad)
    if layout == "channels_last":
        features = features.contiguous(memory_format=torch.channels_last)
    elif layout == "sliced":
        features = torch.cat([features, features], 3)[..., :breadth]
    elif layout == "expanded grad":
        given_grad = torch.ones(1, 1, 1, 1, dtype=features.dtype).expand_as(features)
    steering = [torch.from_numpy(array).requires_grad_() for array in (offset, gain)]
    out = interlace(features.requires_grad_(), steering[0], steering[1], fold)
    gradients = torch.autograd.grad(out, [features, *steering], given_grad)
    truth = loops(x, offset, gain, fold, given_grad.numpy())
    tolerance = 1e-12 if double else 1e-4
    for ours, slow in zip((out, *gradients), truth, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), slow, rtol=tolerance, atol=tolerance)
    assert out.stride() == torch.empty_like(features).stride()


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradcheck_and_opcheck(channels_last: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 9, 2, 3, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    offset = torch.tensor([[0.3, -1.4, 2.6, -0.7], [1.2, 0.5, -3.5, 7.5]], dtype=torch.float64)
    gain = torch.rand(2, 4, 4, dtype=torch.float64) * 2
    inputs = tuple(tensor.requires_grad_() for tensor in (x, offset, gain))
    assert torch.autograd.gradcheck(lambda x, offset, gain: interlace(x, offset, gain, 8), inputs)
    torch.library.opcheck(torch.ops.tinkit.interlace.default, (*inputs, 8))
    detached = tuple(tensor.detach() for tensor in inputs)
    torch.library.opcheck(torch.ops.tinkit.interlace_backward.default, (torch.randn_like(x), *detached, 8))


def test_positive_offset_brings_the_past_forward() -> None:
    x = torch.arange(1.0, 5).view(4, 1, 1, 1)
    moved = interlace(x, torch.tensor([[1.0]]), torch.ones(1, 4, 1), 1).flatten()
    assert moved.tolist() == [0, 1, 2, 3]
    assert interlace(x, torch.tensor([[-0.5]]), torch.ones(1, 4, 1), 1).flatten().tolist() == [1.5, 2.5, 3.5, 2]


def test_equals_a_temporal_convolution_of_triangles() -> None:
    """For gains constant in time, interlace and a 1x1 convolution are one convolution over five frames."""
    torch.manual_seed(1)
    frames, channels, fold = 8, 12, 8
    x = torch.randn(frames, channels, 3, 4, dtype=torch.float64)
    offset = torch.rand(1, 4, dtype=torch.float64) * 4 - 2
    gain = torch.rand(1, 1, 4, dtype=torch.float64).expand(1, frames, 4)
    weight = torch.randn(5, channels, 1, 1, dtype=torch.float64)
    taps = torch.arange(2, -3, -1, dtype=torch.float64)  # a convolution's first tap reads the latest past
    triangle = (1 - (taps - offset[0, :, None]).abs()).clamp(min=0) * gain[0, 0, :, None]
    kernel = torch.cat([triangle.repeat_interleave(fold // 4, 0), (taps == 0).double().expand(channels - fold, 5)])
    full = (weight[:, :, 0, 0, None] * kernel)[..., None, None]
    along_time = torch.nn.functional.conv3d(x.transpose(0, 1)[None], full, padding=(2, 0, 0))[0].transpose(0, 1)
    ours = torch.nn.functional.conv2d(interlace(x, offset, gain, fold), weight)
    torch.testing.assert_close(ours, along_time, rtol=1e-12, atol=1e-12)
