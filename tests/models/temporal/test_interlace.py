"""The temporal modules on their own, and the steering that can be recorded from them."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from tests.helpers.named_weights import give_named_weights, named_tensor_normal
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


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("settings", [{"stride": 2, "padding": 1}, {"padding": "same"}, {"padding_mode": "reflect"}])
def test_temporal_convolution_in_one_operator_is_the_two_modules(settings: dict[str, Any], channels_last: bool) -> None:
    plain = nn.Conv2d(16, 6, 3, **({"padding": 1} | settings))
    temporal = TemporalInterlace(16, 4, 2)
    give_named_weights(temporal)
    module = TemporalConv2d(plain, temporal)
    x = torch.randn(8, 16, 6, 7)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    results = []
    for run in (module, lambda x: plain(temporal(x))):
        leaves = [x.clone(memory_format=torch.preserve_format).requires_grad_(), *module.parameters()]
        out = run(leaves[0])
        results.append([out.detach(), *torch.autograd.grad(out.square().sum(), leaves)])
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)
    assert results[0][0].stride() == results[1][0].stride()


def test_a_watched_or_changed_interlacing_is_called() -> None:
    class Doubled(TemporalInterlace):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    x, plain = torch.randn(8, 16, 3, 3), nn.Conv2d(16, 6, 1, bias=False)
    module = TemporalConv2d(plain, TemporalInterlace(16, 4, 4))
    doubled = Doubled(16, 4, 4)
    doubled.load_state_dict(module.temporal.state_dict())
    torch.testing.assert_close(TemporalConv2d(plain, doubled)(x), module(x) * 2)
    seen: list[Tensor] = []
    unwatched = module(x)
    module.temporal.register_forward_hook(lambda _module, inputs, output: seen.extend((inputs[0], output)))
    torch.testing.assert_close(module(x), unwatched)
    assert seen[0] is x
    torch.testing.assert_close(plain(seen[1]), unwatched)


def test_recording_sees_what_the_one_operator_used() -> None:
    model = nn.Sequential(TemporalConv2d(nn.Conv2d(8, 8, 1), TemporalInterlace(8, 4, 2)))
    x = torch.randn(8, 8, 2, 2)
    with record_steering(model) as record:
        model(x)
    (entry,) = record["0.temporal"]
    wanted = model[0].temporal.steer(x)  # type: ignore[operator, union-attr]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(entry, wanted, strict=True))
    assert not any(tensor.requires_grad for tensor in entry)


def train_one_process(rank: int, folder: str) -> None:
    """One of two processes: the gradient of its half of the clips, averaged by DDP; the first keeps it."""
    torch.set_num_threads(1)
    store = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    model = DistributedDataParallel(distributed_model())
    model(distributed_features()[rank * 4 : rank * 4 + 4]).square().mean().backward()
    if rank == 0:
        torch.save([parameter.grad for parameter in model.parameters()], f"{folder}/gradients.pt")
    del model
    gc.collect()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def distributed_model() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(8, 8, 1), TemporalConv2d(nn.Conv2d(8, 6, 1), TemporalInterlace(8, 4, 2)))
    give_named_weights(model)
    return model


def distributed_features() -> Tensor:
    return named_tensor_normal("distributed", (8, 8, 3, 3))


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    multiprocessing.start_processes(train_one_process, (str(tmp_path),), nprocs=2, start_method="spawn")
    model = distributed_model()
    model(distributed_features()).square().mean().backward()
    for ours, wanted in zip(torch.load(tmp_path / "gradients.pt"), model.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted.grad, rtol=1e-5, atol=1e-6)


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
