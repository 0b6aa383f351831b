"""Interlace and convolve in one operator: the numbers of the two, and features that nobody ever sees changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.steering import networks
from tinkit.ops import conv, fold_mean, interlace, interlace_reference, interlaced_conv, steer, steered_conv
from tinkit.ops.layout import may_borrow

FOLD = 8


def inputs(dtype: torch.dtype = torch.float64, *, channels_last: bool = False, bias: bool = True) -> list[Any]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(8, 12, 5, 6, dtype=torch.float64).to(dtype, memory_format=layout)
    steering = torch.randn(2, 4, dtype=torch.float64) * 2, torch.rand(2, 4, 4, dtype=torch.float64) * 2
    exact = torch.promote_types(dtype, torch.float32)
    weight, shift = torch.randn(6, 4, 3, 3).to(dtype), torch.randn(6).to(dtype) if bias else None
    return [x, *(tensor.to(exact) for tensor in steering), weight, shift]


CONVOLUTION = ((2, 1), (1, 0), (1, 2), 3)


def one(x: Tensor, offset: Tensor, gain: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return interlaced_conv(x, offset, gain, FOLD, weight, bias, *CONVOLUTION)


def two(x: Tensor, offset: Tensor, gain: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(interlace_reference(x, offset, gain, FOLD), weight, bias, *CONVOLUTION)


def with_gradients(operator: Callable[..., Any], tensors: list[Any], wanted: list[bool] | None = None) -> list[Tensor]:
    leaves = [None if t is None else t.detach().clone(memory_format=torch.preserve_format) for t in tensors]
    wanted = wanted or [leaf is not None for leaf in leaves]
    free = [leaf.requires_grad_() for leaf, yes in zip(leaves, wanted, strict=True) if yes]
    outs = operator(*leaves)
    outs = outs if isinstance(outs, tuple) else (outs,)
    loss = sum((out.double().sin() * (i + 1)).sum() for i, out in enumerate(outs))
    return [*(out.detach() for out in outs), *(torch.autograd.grad(loss, free) if free else ())]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_is_the_two_one_after_the_other(channels_last: bool, bias: bool) -> None:
    tensors = inputs(channels_last=channels_last, bias=bias)
    for ours, truth in zip(with_gradients(one, tensors), with_gradients(two, tensors), strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-11)


@settings(max_examples=31)
@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_any_choice_of_gradients(wanted: list[bool]) -> None:
    tensors = inputs()
    results = [with_gradients(operator, tensors, wanted) for operator in (one, two)]
    assert len(results[0]) == 1 + sum(wanted)
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-11)


@settings(max_examples=60)
@given(st.data())
def test_any_shape_and_layout(data: st.DataObject) -> None:
    clips, frames = data.draw(st.integers(0, 2), "clips"), data.draw(st.integers(1, 4), "frames")
    groups, width, rest = (data.draw(st.integers(low, 3), "channels") for low in (1, 1, 0))
    fold, kernel = groups * width, data.draw(st.sampled_from([1, 3]), "kernel")
    x = torch.randn(clips * frames, fold + rest, *(data.draw(st.integers(1, 4), "pixels") for _ in range(2))).double()
    layout = data.draw(st.sampled_from(["contiguous", "channels_last", "sliced", "expanded"]), "layout")
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "sliced":
        x = torch.cat([x, x], 1)[:, : x.shape[1]]
    elif layout == "expanded":
        x = x[:, :1].expand_as(x)
    offset, gain = torch.randn(clips, groups).double() * 3, torch.randn(clips, frames, groups).double()
    weight = torch.randn(2, fold + rest, kernel, kernel).double()
    before = x.clone()
    found = interlaced_conv(x, offset, gain, fold, weight, padding=(kernel // 2, kernel // 2))
    wanted = F.conv2d(interlace_reference(x, offset, gain, fold), weight, padding=kernel // 2)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_half_precision_error_is_at_most_twice_that_of_plain_pytorch(dtype: torch.dtype, channels_last: bool) -> None:
    tensors = inputs(dtype, channels_last=channels_last)
    truth = with_gradients(two, [tensor.double() for tensor in tensors])
    rough = with_gradients(lambda x, o, g, w, b: two(x, o.to(dtype), g.to(dtype), w, b), tensors)
    for exact, plain, ours in zip(truth, rough, with_gradients(one, tensors), strict=True):
        error, allowed = (float((value.double() - exact).abs().max()) for value in (ours, plain))
        assert 0 < error <= 2 * allowed


def test_nothing_is_seen_to_have_changed() -> None:
    x, offset, gain, weight, bias = inputs(torch.float32)
    before, version = x.clone(), x._version
    out = one(x, offset, gain, weight.requires_grad_(), bias)
    assert torch.equal(x, before)
    out.sum().backward()
    assert torch.equal(x, before)
    assert x._version == version


def test_features_that_autograd_has_saved_elsewhere_may_be_borrowed() -> None:
    tensors = inputs(torch.float32)

    def step(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, *rest: operator((y := torch.relu_(x * 2)), *rest).sum() + y.square().sum()

    for ours, truth in zip(with_gradients(step(one), tensors), with_gradients(step(two), tensors), strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-4)


def test_features_are_put_back_when_the_convolution_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    x, offset, gain, weight, bias = inputs(torch.float32)
    before = x.clone()

    def interrupted(moved: Tensor, *_arguments: Any) -> Tensor:
        assert moved.data_ptr() == x.data_ptr()
        assert not torch.equal(x, before)
        raise KeyboardInterrupt

    monkeypatch.setattr(conv, "convolution", interrupted)
    with pytest.raises(KeyboardInterrupt):
        conv._forward(x, offset, gain, FOLD, weight, bias, *CONVOLUTION)
    assert torch.equal(x, before)


def test_features_are_put_back_when_the_convolution_raises() -> None:
    x, offset, gain, weight, _ = inputs(torch.float32)
    before = x.clone()
    assert may_borrow(x)
    with pytest.raises(RuntimeError):
        one(x, offset, gain, weight[:, :2])
    with pytest.raises(RuntimeError):
        one(x, offset, gain, weight.bfloat16())
    assert torch.equal(x, before)


def test_what_is_wrong_is_said_before_anything_is_written() -> None:
    x, offset, gain, weight, _ = inputs(torch.float32)
    with pytest.raises(ValueError, match=r"disagree.*\(1, 4\)"):
        one(x, offset[:1], gain, weight)
    with pytest.raises(ValueError, match="multiple of the 4 groups"):
        interlaced_conv(x, offset, gain, 6, weight)


def test_only_own_dense_memory_is_borrowed(tmp_path: Path) -> None:
    x, offset, gain, weight, _ = inputs(torch.float32)
    file = tmp_path / "features.npy"
    np.save(file, x.numpy())
    mapped = np.load(file, mmap_mode="r")  # writing here ends the process
    with pytest.warns(UserWarning, match="not writable"):
        read_only = torch.from_numpy(mapped)
    holder = torch.cat([x.flatten(), offset.flatten()])
    beside = holder[: x.numel()].view_as(x)
    refused = {
        "mapped file": (read_only, offset),
        "numpy's memory": (torch.from_numpy(x.numpy().copy()), offset),
        "shared memory": (x.clone().share_memory_(), offset),
        "memory shared with the offsets": (beside, holder[x.numel() :].view_as(offset)),
        "overlapping": (x[:, :1].expand_as(x), offset),
        "strided": (torch.cat([x, x], 1)[:, :12], offset),
    }
    for name, (features, its_offset) in refused.items():
        assert not may_borrow(features, its_offset), name
        found, wanted = one(features, its_offset, gain, weight), two(features, offset, gain, weight)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert may_borrow(beside, offset)


@pytest.mark.parametrize("inside", [False, True])
def test_inference_tensors(inside: bool) -> None:
    with torch.inference_mode():
        x, offset, gain, weight, bias = inputs(torch.float32)
    with torch.inference_mode(inside):
        found = one(x, offset, gain, weight, bias)
    torch.testing.assert_close(found, two(x, offset, gain, weight, bias), rtol=1e-4, atol=1e-4)


def test_autocast_casts_features_and_weights_and_leaves_offsets_alone() -> None:
    x, offset, gain, weight, bias = inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = one(x, offset, gain, weight, bias)
    assert torch.equal(out, one(x.bfloat16(), offset, gain, weight.bfloat16(), bias.bfloat16()))


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_gradcheck_and_opcheck(channels_last: bool, bias: bool) -> None:
    x, offset, gain, weight, shift = inputs(channels_last=channels_last, bias=bias)
    leaves = [tensor.requires_grad_() for tensor in (x, offset, gain, weight, shift) if tensor is not None]
    assert torch.autograd.gradcheck(one, leaves, fast_mode=True)
    torch.library.opcheck(
        torch.ops.tinkit.interlaced_conv.default, (x, offset, gain, FOLD, weight, shift, *CONVOLUTION)
    )
    still = [tensor.detach() for tensor in (x, offset, gain)]
    grad, frozen = one(*leaves).detach(), None if shift is None else shift.detach()
    arguments = (grad, *still, FOLD, weight.detach(), frozen, *CONVOLUTION)
    for wanted in ((True, True, True, bias), (False, True, False, False), (False, False, True, False)):
        torch.library.opcheck(torch.ops.tinkit.interlaced_conv_backward.default, (*arguments, wanted))


def steered_in_one(x: Tensor, weight: Tensor, bias: Tensor | None, *steering: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return steered_conv(x, FOLD, steering, weight, bias, *CONVOLUTION)


def steered_in_three(x: Tensor, weight: Tensor, bias: Tensor | None, *steering: Tensor) -> tuple[Tensor, ...]:
    offset, gain = steer(fold_mean(x, FOLD), steering)
    return F.conv2d(interlace(x, offset, gain, FOLD), weight, bias, *CONVOLUTION), offset, gain


@settings(max_examples=25)
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.booleans(), st.booleans())
def test_steered_is_the_three_one_after_the_other(gradients: list[bool], steered: bool, channels_last: bool) -> None:
    x, _, _, weight, bias = inputs(channels_last=channels_last)
    tensors, wanted = [x, weight, bias, *networks(FOLD, 4)], [*gradients, *[steered] * 8]
    results = [with_gradients(operator, tensors, wanted) for operator in (steered_in_one, steered_in_three)]
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-11)


def test_steered_gradcheck_and_opcheck() -> None:
    x, _, _, weight, bias = inputs()
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias, *networks(FOLD, 4))]
    assert torch.autograd.gradcheck(steered_in_one, leaves, fast_mode=True)
    x, weight, bias, *steering = leaves
    operator = torch.ops.tinkit.steered_conv.default
    torch.library.opcheck(operator, (x, FOLD, *steering, weight, bias, *CONVOLUTION))
    torch.library.opcheck(operator, (x, FOLD, *steering, weight, None, *CONVOLUTION))


def test_steered_offsets_alone_have_gradients() -> None:
    x, _, _, weight, bias = inputs()
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias, *networks(FOLD, 4))]
    for result in (1, 2):
        results = [
            torch.autograd.grad(operator(*leaves)[result].square().sum(), [leaves[0], leaves[3]], allow_unused=True)
            for operator in (steered_in_one, steered_in_three)
        ]
        for ours, truth in zip(*results, strict=True):
            torch.testing.assert_close(ours, torch.zeros_like(ours) if truth is None else truth)


def test_steered_refuses_a_fold_that_does_not_fit() -> None:
    x, _, _, weight, bias = inputs()
    before = x.clone()
    for fold, message in ((6, "multiple of the 4 groups"), (13, "fold 13"), (4, "expected weights")):
        steering = networks(fold if fold != 4 else FOLD, 4)
        with pytest.raises(ValueError, match=message):
            steered_conv(x, fold, steering, weight, bias, *CONVOLUTION)
    assert torch.equal(x, before)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_as_one_graph(backend: str) -> None:
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("no C++ compiler on this machine")
    torch._dynamo.reset()
    x, offset, gain, weight, bias = inputs(torch.float32, channels_last=True)
    steering = networks(FOLD, 4, torch.float32)

    def step(x: Tensor, offset: Tensor, gain: Tensor, weight: Tensor, bias: Tensor, *steering: Tensor) -> Tensor:
        features = torch.relu(x * 2)
        first = one(features, offset, gain, weight, bias)
        second, *steered = steered_conv(features, FOLD, steering, weight, bias, *CONVOLUTION)
        return (first * second).mean() + features.square().mean() + sum(value.mean() for value in steered)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    tensors = [x, offset, gain, weight, bias, *steering]
    for ours, eager in zip(with_gradients(compiled, tensors), with_gradients(step, tensors), strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-3)
