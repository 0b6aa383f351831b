"""The regularised temporal convolution: what it computes, that TIN computes the same, and what it learns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights
from tinkit.errors import UserError
from tinkit.models.backbones.feature_layout import NCHW
from tinkit.models.backbones.places import Place
from tinkit.models.temporal.placed import ModuleSettings
from tinkit.models.temporal.rtcn import RegularisedConv2d, TriangleTaps, put_regularised
from tinkit.ops import interlace

CONVOLUTIONS = [
    pytest.param({"kernel_size": 1, "bias": False}, id="1x1"),
    pytest.param({"kernel_size": 3, "padding": 1, "stride": 2, "bias": True}, id="3x3"),
    pytest.param({"kernel_size": (1, 3), "padding": (0, 2), "dilation": 2, "bias": True}, id="dilated"),
]


def steered(settings: dict[str, Any], frames: int = 8, centres: tuple[float, ...] | None = None) -> RegularisedConv2d:
    """A module in float64 with centres and gains all over their range."""
    module = RegularisedConv2d(nn.Conv2d(18, 6, **settings), frames, shift_div=2).double()
    give_named_weights(module)
    wanted = torch.tensor(centres or (-1.7, -0.4, 0.9, 1.95), dtype=torch.float64)
    with torch.no_grad():
        module.temporal.centre_logit.copy_(torch.log((2 + wanted) / (2 - wanted)))
        module.temporal.gain_logit.copy_(torch.tensor([-1.0, 0.5, 2.0, -0.3]))
    return module


def interlaced(module: RegularisedConv2d, x: Tensor) -> Tensor:
    """TIN's operator, steered by the same numbers for every clip and frame, and the plain convolution behind it."""
    clips, frames, taps = len(x) // module.num_segments, module.num_segments, module.temporal
    gain = taps.gain().expand(clips, frames, 4)
    moved = interlace(x, taps.centre().expand(clips, 4), gain, taps.fold)
    return F.conv2d(moved, module.weight, module.bias, module.stride, module.padding, module.dilation)


@pytest.mark.parametrize("settings", CONVOLUTIONS)
@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_equals_interlacing_and_the_convolution(settings: dict[str, Any], frames: int) -> None:
    """tin.md's equality, with all gradients, in float64."""
    module = steered(settings, frames)
    x = torch.randn(3 * frames, 18, 5, 6, dtype=torch.float64, requires_grad=True)
    ours, theirs = module(x), interlaced(module, x)
    print(f"worst {float((ours - theirs).detach().abs().max()):.1e} of {float(theirs.detach().abs().max()):.1f}")
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    wanted = [x, *module.parameters()]
    grad = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, wanted, grad), torch.autograd.grad(theirs, wanted, grad), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("settings", CONVOLUTIONS)
def test_equals_one_convolution_of_five_frames(settings: dict[str, Any]) -> None:
    """K[o, c, s] of tin.md from the formula, and PyTorch's own convolution in three dimensions."""
    module = steered(settings)
    x = torch.randn(16, 18, 5, 6, dtype=torch.float64)
    fold, channels = 8, torch.arange(18)
    group = channels.clamp(max=fold - 1) // (fold // 4)
    centre = torch.where(channels < fold, module.temporal.centre()[group], 0)
    gain = torch.where(channels < fold, module.temporal.gain()[group], 1)
    s = torch.arange(-2, 3)[:, None]
    triangle = (1 - (s - centre).abs()).clamp(min=0) * gain
    # conv3d correlates: its first tap is multiplied with the frame two before, which is s = 2.
    kernel = module.weight[:, :, None] * triangle.flip(0).T[None, :, :, None, None]
    clips = x.unflatten(0, (2, 8)).transpose(1, 2)
    (ph, pw), dilation, stride = module.padding, (1, *module.dilation), (1, *module.stride)
    theirs = F.conv3d(clips, kernel, module.bias, stride, (2, ph, pw), dilation)
    torch.testing.assert_close(module(x), theirs.transpose(1, 2).flatten(0, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("start", [-1.5, -1.0, 0.0, 0.5, 1.0])
def test_start_and_that_it_can_be_left(start: float) -> None:
    """At whole frames, too, where the derivative of an absolute value would be zero."""
    module = RegularisedConv2d(nn.Conv2d(16, 4, 1), 8, 2, offset_init=start)
    expected = torch.tensor([start, start, -start, -start])
    torch.testing.assert_close(module.temporal.centre(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(module.temporal.gain(), torch.ones(4))
    module(torch.randn(16, 16, 3, 3)).square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).all())


def test_taps_beyond_reach_are_never_wanted() -> None:
    """A logit so large that the centre rounds to two frames is still one tap."""
    taps = TriangleTaps(16, 2)
    with torch.no_grad():
        taps.centre_logit.copy_(torch.tensor([100.0, -100.0, 20.0, -20.0]))
    kernel = taps()
    assert kernel.shape == (5, 16)
    torch.testing.assert_close(kernel[:, :8].sum(0), torch.ones(8))
    assert kernel[4, 0] == 1
    assert kernel[0, 2] == 1
    assert torch.equal(kernel[:, 8:], torch.eye(5)[:, 2:3].expand(5, 8))


def test_channels_that_do_not_move_are_convolved_as_they_were() -> None:
    plain = nn.Conv2d(16, 4, 3, padding=1)
    module = RegularisedConv2d(plain, 4, 4)
    x = torch.randn(8, 16, 5, 5)
    x[:, : module.temporal.fold] = 0
    torch.testing.assert_close(module(x), plain(x))


def test_takes_over_the_plain_convolution() -> None:
    plain = nn.Conv2d(16, 4, 3, padding=1, bias=True)
    module = RegularisedConv2d(plain, 4, 4)
    assert module.weight is plain.weight
    assert set(module.state_dict()) == {"weight", "bias", "temporal.centre_logit", "temporal.gain_logit"}
    x = torch.randn(8, 16, 5, 5)
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    assert module(x[:0]).shape == plain(x[:0]).shape


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [False, True])
def test_layout_and_dtype(layout: torch.memory_format, bias: bool) -> None:
    module = RegularisedConv2d(nn.Conv2d(16, 4, 3, stride=2, padding=1, bias=bias), 4, 4)
    x = torch.randn(8, 16, 6, 6).contiguous(memory_format=layout)
    out = module(x)
    assert out.is_contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        half = module(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), out, rtol=0.05, atol=0.05)


def test_compiled_and_exported() -> None:
    module, x = RegularisedConv2d(nn.Conv2d(16, 4, 1), 4, 4), torch.randn(8, 16, 3, 3)
    expected = module(x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, expected)
    compiled.sum().backward()
    assert module.temporal.centre_logit.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RegularisedConv2d(nn.Conv2d(16, 4, 1, groups=2), 8, 4), "of 2 groups"),
        (lambda: RegularisedConv2d(nn.Conv2d(16, 4, 1, padding_mode="reflect"), 8, 4), "padding with reflect"),
        (lambda: RegularisedConv2d(nn.Conv2d(12, 4, 1), 8, 4), "shift_div 4 of 12 channels"),
        (lambda: TriangleTaps(16, 4, offset_init=-2.0), "offset_init is -2 frames"),
        (
            lambda: put_regularised(Place("norm", nn.Module(), nn.LayerNorm(16), 16, NCHW), ModuleSettings(8, 4, 0.5)),
            "in place of a LayerNorm",
        ),
    ],
)
def test_settings_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
