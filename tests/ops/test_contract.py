"""What the interlace operator promises PyTorch: dtypes, memory formats, autocast, compilation, no waiting, errors."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tinkit.models import TemporalInterlace
from tinkit.ops import interlace, interlace_reference
from tinkit.ops.gather import gather_backward, gather_forward


def inputs(dtype: torch.dtype = torch.float32, *, channels_last: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(16, 24, 5, 6).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    return x, torch.rand(2, 4) * 4 - 2, torch.rand(2, 8, 4) * 2


def with_gradients(operator: Callable[..., Tensor], tensors: tuple[Tensor, ...], grad: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_() for tensor in tensors]
    out = operator(*leaves, fold=12)
    return out.detach(), *torch.autograd.grad(out, leaves, grad.to(out.dtype))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_error_is_at_most_twice_that_of_plain_pytorch(dtype: torch.dtype, channels_last: bool) -> None:
    x, offset, gain = (tensor.to(dtype) for tensor in inputs(channels_last=channels_last))
    grad = torch.randn(x.shape).to(dtype)
    truth = with_gradients(interlace_reference, (x.double(), offset.double(), gain.double()), grad)
    plain = with_gradients(interlace_reference, (x, offset, gain), grad)
    ours = with_gradients(interlace, (x, offset, gain), grad)
    for name, exact, rough, result in zip(("out", "x", "offset", "gain"), truth, plain, ours, strict=True):
        assert result.dtype == dtype
        error, allowed = (float((value.double() - exact).abs().max()) for value in (result, rough))
        print(f"{dtype} {name}: {error:.2e}, plain {allowed:.2e}")
        assert error <= 2 * allowed, name
    assert float((plain[0].double() - truth[0]).abs().max()) > 0  # the bound above is not 0 <= 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_keep_float32_offsets(dtype: torch.dtype) -> None:
    x, offset, gain = inputs(dtype)
    out, _, grad_offset, grad_gain = with_gradients(interlace, (x, offset, gain), torch.ones(x.shape))
    assert out.dtype == dtype
    assert grad_offset.dtype == grad_gain.dtype == torch.float32
    exact = interlace_reference(x.double(), offset.double(), gain.double(), 12)
    assert torch.equal(out, exact.to(torch.float32).to(dtype)) or float((out - exact).abs().max()) < 2e-2


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_format_is_kept_forward_and_backward(channels_last: bool) -> None:
    x, offset, gain = inputs(channels_last=channels_last)
    x.requires_grad_()
    out = interlace(x, offset, gain, 12)
    (grad_x,) = torch.autograd.grad(out, x, torch.randn(out.shape))
    assert out.stride() == grad_x.stride() == x.stride()


def test_input_is_left_alone_and_output_is_new() -> None:
    x, offset, gain = inputs()
    before = x.clone()
    out = interlace(x, offset, gain, 12)
    out.zero_()
    assert torch.equal(x, before)


def test_autocast_casts_features_and_leaves_offsets_alone() -> None:
    x, offset, gain = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = interlace(x, offset, gain, 12)
        assert interlace(x.double(), offset, gain, 12).dtype == torch.float64
    assert out.dtype == torch.bfloat16
    # Bit for bit what full-precision offsets give; offsets cast to bfloat16 would not.
    assert torch.equal(out, interlace(x.bfloat16(), offset, gain, 12))
    assert not torch.equal(out, interlace(x.bfloat16(), offset.bfloat16(), gain.bfloat16(), 12))


def test_steering_runs_outside_autocast() -> None:
    module = TemporalInterlace(24, 8, 4)
    x = inputs()[0]
    plain = module.steer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        offset, gain = module.steer(x)
    assert offset.dtype == gain.dtype == torch.float32
    assert torch.equal(offset, plain[0])
    assert torch.equal(gain, plain[1])


BACKENDS = ["aot_eager", *(["inductor"] if shutil.which("g++") else [])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("autocast", [False, True])
def test_compiles_as_one_graph(backend: str, autocast: bool) -> None:
    def step(x: Tensor, offset: Tensor, gain: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return interlace(x * 2, offset.tanh(), gain, 12).float().square().mean()

    def gradients(function: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [tensor.requires_grad_() for tensor in inputs(channels_last=True)]
        loss = function(*leaves)
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]

    torch._dynamo.reset()
    for ours, eager in zip(
        gradients(torch.compile(step, fullgraph=True, backend=backend)), gradients(step), strict=True
    ):
        torch.testing.assert_close(ours, eager, rtol=2e-2 if autocast else 1e-5, atol=1e-5)


def test_compiles_for_any_number_of_clips() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(interlace, fullgraph=True, backend="aot_eager", dynamic=True)
    x, offset, gain = inputs()
    for clips in (2, 1):
        arguments = (x[: clips * 8], offset[:clips], gain[:clips], 12)
        assert torch.equal(compiled(*arguments), interlace(*arguments))


class NoWaiting(TorchDispatchMode):
    """Fails on every call whose result the host must wait for."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "unique", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not any(word in str(func) for word in self.WAITING), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_nothing_waits_for_the_device(dtype: torch.dtype, channels_last: bool) -> None:
    x, offset, gain = inputs(dtype, channels_last=channels_last)
    module = TemporalInterlace(24, 8, 4)
    with NoWaiting():
        gather_forward(x, offset, gain, 12)
        gather_backward(x, x, offset, gain, 12)
        module(x.requires_grad_()).sum().backward()
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        offset.sum().item()
    # Tensors without data cannot be asked for a value at all.
    x, offset, gain = (tensor.detach().to("meta") for tensor in (x, offset, gain))
    assert gather_forward(x, offset, gain, 12).shape == x.shape
    gradients = gather_backward(x, x, offset, gain, 12)
    assert [gradient.shape for gradient in gradients] == [x.shape, offset.shape, gain.shape]


@pytest.mark.parametrize("shape", [(0, 8, 3, 3), (8, 8, 0, 3)])
def test_empty_batches_and_frames(shape: tuple[int, ...]) -> None:
    clips = shape[0] // 4
    x, offset, gain = torch.randn(shape), torch.zeros(clips, 4), torch.ones(clips, 4, 4)
    leaves = [tensor.requires_grad_() for tensor in (x, offset, gain)]
    out = interlace(x, offset, gain, 8)
    out.sum().backward()
    assert out.shape == shape
    assert all(leaf.grad is not None and leaf.grad.shape == leaf.shape for leaf in leaves)
    assert all(float(leaf.grad.abs().sum()) == 0 for leaf in leaves[1:] if leaf.grad is not None)


WRONG = {
    "x of three dimensions": (lambda x, o, g: (x[0], o, g, 8), r"\(24, 5, 6\)"),
    "offset of other groups": (lambda x, o, g: (x, o[:, :3], g, 8), r"disagree.*\(2, 3\).*\(2, 8, 4\)"),
    "offset of other clips": (lambda x, o, g: (x, o[:1], g, 8), r"disagree.*\(1, 4\)"),
    "rows that are not B*T": (lambda x, o, g: (x[:15], o, g, 8), r"15 rows.*2\*8"),
    "fold not in groups": (lambda x, o, g: (x, o, g, 10), r"multiple of the 4 groups.*fold 10"),
    "fold beyond the channels": (lambda x, o, g: (x, o, g, 28), r"24 channels.*fold 28"),
    "fold of nothing": (lambda x, o, g: (x, o, g, 0), "fold 0"),
    "no groups": (lambda x, o, g: (x, o[:, :0], g[..., :0], 8), "fold"),
    "integers": (lambda x, o, g: (x, o.long(), g, 8), "floating.*int64"),
    "two devices": (lambda x, o, g: (x, o.to("meta"), g, 8), "device.*meta"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_name_their_shapes(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        interlace(*change(*inputs()))


def test_huge_and_undefined_offsets_silence_their_group() -> None:
    x, _, gain = inputs()
    wild = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 8.0, -8.5, 2.0**40])
    for operator, values in itertools.product((interlace, interlace_reference), wild.view(2, 1, 4)):
        leaves = [
            x.clone().requires_grad_(),
            values.expand(2, 4).clone().requires_grad_(),
            gain.clone().requires_grad_(),
        ]
        out = operator(leaves[0], leaves[1], leaves[2], 12)
        assert float(out[:, :12].detach().abs().max()) == 0
        assert torch.equal(out[:, 12:], x[:, 12:])
        gradients = torch.autograd.grad(out.sum(), leaves)
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
        assert float(gradients[1].abs().max()) == 0
