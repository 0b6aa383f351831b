"""The temporal modules on their own, and the steering that can be recorded from them."""

from __future__ import annotations

import copy

import pytest
import torch
from named_weights import give_named_weights
from torch import Tensor, nn

from tinkit.errors import UserError
from tinkit.models import TemporalConv2d, TemporalInterlace, TemporalShift, record_steering
from tinkit.ops import interlace


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("channels", "frames", "shift_div"), [(16, 8, 8), (19, 3, 4), (8, 1, 4), (5, 4, 8)])
def test_shift_frame_by_frame(channels: int, frames: int, shift_div: int, channels_last: bool) -> None:
    x = torch.randn(2 * frames, channels, 3, 4)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    fold = channels // shift_div
    out = TemporalShift(frames, shift_div)(x)
    expected = torch.zeros_like(x)
    for row in range(2 * frames):
        for c in range(channels):
            source = row % frames + (1 if c < fold else -1 if c < 2 * fold else 0)
            if 0 <= source < frames:
                expected[row, c] = x[row // frames * frames + source, c]
    assert torch.equal(out, expected)
    assert out.stride() == x.stride()
    grad = torch.randn_like(x)
    assert torch.equal(torch.autograd.grad(out, x, grad)[0], torch.autograd.grad(expected, x, grad)[0])


def test_shift_is_an_interlace_of_whole_frames() -> None:
    x = torch.randn(16, 24, 3, 4)
    offset = torch.tensor([[-1.0, 1.0]]).expand(2, 2)
    assert torch.equal(TemporalShift(8, 8)(x), interlace(x, offset, torch.ones(2, 8, 2), 6))


@pytest.mark.parametrize("start", [-1.9, 0.0, 0.5, 1.0, 1.8])
def test_steering_starts_where_it_is_told(start: float) -> None:
    module = TemporalInterlace(32, 8, 4, offset_init=start)
    offset, gain = module.steer(torch.zeros(16, 32, 2, 2))
    # At zero input the first convolution's and Linear's biases remain, so the last layer's bias alone is judged.
    learned = 4 * (torch.sigmoid(module.offset_net.fc2.bias) - 0.5)
    torch.testing.assert_close(learned, torch.full((2,), start), rtol=1e-5, atol=1e-5)
    assert torch.equal(gain, torch.ones(2, 8, 4))
    torch.testing.assert_close(offset[:, 2:], -offset[:, :2], rtol=0, atol=0)
    with torch.no_grad():
        module.offset_net.fc2.weight.zero_()
    offset, _ = module.steer(torch.randn(16, 32, 2, 2))
    torch.testing.assert_close(offset, torch.tensor([[start, start, -start, -start]] * 2), rtol=1e-5, atol=1e-5)


def test_published_start_is_the_published_bias() -> None:
    assert TemporalInterlace(32, 8, 4).offset_net.fc2.bias.tolist() == pytest.approx([0.5108, 0.5108], abs=5e-5)


def test_state_dict_names_and_shapes() -> None:
    shapes = {name: tuple(value.shape) for name, value in TemporalInterlace(64, 5, 4).state_dict().items()}
    assert shapes == {
        "offset_net.conv.weight": (1, 16, 3),
        "offset_net.conv.bias": (1,),
        "offset_net.fc1.weight": (5, 5),
        "offset_net.fc1.bias": (5,),
        "offset_net.fc2.weight": (2, 5),
        "offset_net.fc2.bias": (2,),
        "gain_net.conv.weight": (2, 16, 3),
        "gain_net.conv.bias": (2,),
    }


@pytest.mark.parametrize(
    ("channels", "shift_div", "fold"), [(64, 4, 16), (50, 4, 12), (36, 8, 4), (7, 1, 4), (64, 1, 64)]
)
def test_fold_is_rounded_down_to_the_groups(channels: int, shift_div: int, fold: int) -> None:
    module = TemporalInterlace(channels, 4, shift_div)
    give_named_weights(module)
    x = torch.randn(8, channels, 3, 3)
    out = module(x)
    assert module.fold == fold
    assert torch.equal(out[:, fold:], x[:, fold:])
    assert all(not torch.equal(out[:, c], x[:, c]) for c in range(fold))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TemporalInterlace(12, 8, 4), "shift_div 4 of 12 channels"),
        (lambda: TemporalInterlace(64, 8, 0), "shift_div 0"),
        (lambda: TemporalInterlace(3, 8, 1), "4 channels or more"),
        (lambda: TemporalInterlace(64, 8, 4, offset_init=2.0), "offset_init is 2 frames"),
        (lambda: TemporalInterlace(64, 8, 4, offset_init=float("nan")), "offset_init is nan"),
        (lambda: TemporalShift(8, 1), "shift_div is 1"),
    ],
)
def test_settings_that_cannot_be(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=message):
        make()


def test_temporal_convolution_takes_over_the_plain_one() -> None:
    plain = nn.Conv2d(16, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=True)
    module = TemporalConv2d(plain, TemporalShift(4, 4))
    assert module.weight is plain.weight
    assert set(module.state_dict()) == {"weight", "bias"}
    x = torch.randn(8, 16, 9, 9)
    assert torch.equal(module(x), plain(TemporalShift(4, 4)(x)))
    twin = copy.deepcopy(module)
    assert torch.equal(twin(x), module(x))


def test_recording_collects_and_lets_go() -> None:
    model = nn.Sequential(TemporalInterlace(8, 4, 2), TemporalInterlace(8, 4, 2))
    inputs = [torch.randn(8, 8, 2, 2) for _ in range(2)]
    with record_steering(model) as record:
        for x in inputs:
            model(x)
    model(inputs[0])  # no longer recorded
    assert list(record) == ["0", "1"]
    assert [len(entries) for entries in record.values()] == [2, 2]
    first = model[0]
    assert isinstance(first, TemporalInterlace)
    for x, (offset, gain) in zip(inputs, record["0"], strict=True):
        expected: tuple[Tensor, Tensor] = first.steer(x)
        assert torch.equal(offset, expected[0])
        assert torch.equal(gain, expected[1])
        assert not offset.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_whole_module_in_another_dtype(dtype: torch.dtype) -> None:
    module = TemporalInterlace(16, 4, 2).double()
    give_named_weights(module)
    x = torch.randn(8, 16, 3, 3, dtype=torch.float64)
    low = copy.deepcopy(module).to(dtype)
    out = low(x.to(dtype))
    assert out.dtype == dtype
    # What the operator itself may lose: the same rounded weights and features, steered and moved in float64, against
    # one rounding of the largest value for the interpolation and one for each of the steering networks' layers.
    exact = copy.deepcopy(low).double()(x.to(dtype).double())
    error = (out.double() - exact).abs().max()
    assert error <= 8 * torch.finfo(dtype).eps * exact.abs().max()
