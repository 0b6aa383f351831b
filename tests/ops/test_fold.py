"""The operators on the fold alone: their numbers, their layouts, and that what is written is put back to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinkit.ops import fold_mean, interlace_fold, interlace_reference

OPERATORS = torch.ops.tinkit
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed")


def laid_out(x: Tensor, layout: str) -> Tensor:
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        return torch.cat([x, x], 3)[..., : x.shape[3]]
    return x.transpose(2, 3).contiguous().transpose(2, 3) if layout == "transposed" else x


def drawn(data: st.DataObject, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, int]:
    clips, frames = data.draw(st.integers(0, 3), "clips"), data.draw(st.integers(1, 6), "frames")
    groups, width = data.draw(st.integers(1, 4), "groups"), data.draw(st.integers(1, 3), "width")
    channels = groups * width + data.draw(st.integers(0, 5), "rest")
    rs = np.random.RandomState(data.draw(st.integers(0, 2**31), "seed"))
    size = (clips * frames, channels, data.draw(st.integers(1, 3), "height"), data.draw(st.integers(1, 3), "breadth"))
    x = laid_out(torch.from_numpy(rs.standard_normal(size)).to(dtype), data.draw(st.sampled_from(LAYOUTS), "layout"))
    offset = torch.from_numpy(rs.uniform(-frames - 1, frames + 1, (clips, groups)))
    return x, offset, torch.from_numpy(rs.uniform(-2, 2, (clips, frames, groups))), groups * width


@settings(max_examples=80)
@given(st.data())
def test_fold_and_its_gradients_are_those_of_the_whole(data: st.DataObject) -> None:
    x, offset, gain, fold = drawn(data)
    grad = laid_out(torch.randn_like(x[:, :fold]), data.draw(st.sampled_from(LAYOUTS), "layout of grad"))
    results = []
    for operator in (interlace_fold, lambda *arguments: interlace_reference(*arguments)[:, :fold]):
        leaves = [tensor.detach().clone(memory_format=torch.preserve_format) for tensor in (x, offset, gain)]
        out = operator(*(leaf.requires_grad_() for leaf in leaves), fold)
        results.append((out, *torch.autograd.grad(out, leaves, grad)))
    for ours, truth in zip(*results, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)
    assert not results[0][1][:, fold:].any()


@settings(max_examples=80)
@given(st.data())
def test_mean_and_its_gradient(data: st.DataObject) -> None:
    x, _, _, fold = drawn(data, data.draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16]), "dtype"))
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    out = fold_mean(leaf, fold)
    assert out.dtype == torch.promote_types(x.dtype, torch.float32)
    pixels = x.shape[2] * x.shape[3]
    tolerance = 1e-12 if x.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(out.double(), x[:, :fold].double().sum((2, 3)) / pixels, rtol=tolerance, atol=tolerance)
    grad = torch.randn_like(out)
    (grad_x,) = torch.autograd.grad(out, leaf, grad)
    wanted = torch.zeros_like(x)
    wanted[:, :fold] = (grad / pixels)[..., None, None]
    assert grad_x.dtype == x.dtype
    torch.testing.assert_close(grad_x, wanted, rtol=1e-2 if x.dtype == torch.bfloat16 else 1e-6, atol=0)


@settings(max_examples=80)
@given(st.data())
def test_writing_shows_the_interlacing_and_restoring_leaves_no_trace(data: st.DataObject) -> None:
    x, offset, gain, fold = drawn(data, data.draw(st.sampled_from([torch.float64, torch.float16]), "dtype"))
    if x.numel() == 0 or not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
        x = x.clone(memory_format=torch.contiguous_format)
    if x.numel():
        x[0, 0, 0, 0] = -0.0  # a sign that only a copy keeps
    before = x.clone()
    transposed = data.draw(st.booleans(), "transposed")
    saved = OPERATORS.interlace_write_(x, offset, gain, fold, transposed)
    if transposed:
        leaf = torch.zeros_like(before, dtype=torch.float64).requires_grad_()
        (moved,) = torch.autograd.grad(interlace_reference(leaf, offset, gain, fold), leaf, before.double())
    else:
        moved = interlace_reference(before.double(), offset, gain, fold)
    tolerance = 1e-12 if x.dtype == torch.float64 else 4e-3
    torch.testing.assert_close(x.double(), moved, rtol=tolerance, atol=tolerance)
    assert torch.equal(saved, before[:, :fold])
    OPERATORS.fold_restore_(x, saved)
    assert torch.equal(x, before)
    assert torch.equal(x.signbit(), before.signbit())


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fold_keeps_dtype_and_layout(layout: str, dtype: torch.dtype) -> None:
    x = laid_out(torch.randn(8, 12, 3, 5).to(dtype), layout).requires_grad_()
    out = interlace_fold(x, torch.rand(2, 4), torch.rand(2, 4, 4), 8)
    (grad_x,) = torch.autograd.grad(out, x, torch.ones(1, dtype=dtype).expand_as(out))
    assert (out.dtype, grad_x.dtype) == (dtype, dtype)
    assert out.stride() == laid_out(torch.empty(8, 8, 3, 5), layout).stride()
    assert grad_x.stride() == x.stride()


def test_autocast_casts_the_fold_and_leaves_the_mean_alone() -> None:
    x, offset, gain = torch.randn(8, 12, 3, 5), torch.rand(2, 4), torch.rand(2, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, mean = interlace_fold(x, offset, gain, 8), fold_mean(x, 8)
    assert torch.equal(out, interlace_fold(x.bfloat16(), offset, gain, 8))
    assert torch.equal(mean, fold_mean(x, 8))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_gradcheck_and_opcheck(layout: str) -> None:
    x = laid_out(torch.randn(8, 9, 2, 3, dtype=torch.float64), layout)
    offset = torch.tensor([[0.3, -1.4, 2.6, -0.7], [1.2, 0.5, -3.5, 7.5]], dtype=torch.float64)
    gain = torch.rand(2, 4, 4, dtype=torch.float64) * 2
    inputs = [tensor.requires_grad_() for tensor in (x, offset, gain)]
    assert torch.autograd.gradcheck(lambda x, o, g: interlace_fold(x, o, g, 8), inputs, fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: fold_mean(x, 8), x)
    torch.library.opcheck(OPERATORS.interlace_fold.default, (*inputs, 8))
    torch.library.opcheck(OPERATORS.fold_mean.default, (x, 8))
    still = [tensor.detach() for tensor in inputs]
    fold = still[0][:, :8].contiguous()
    torch.library.opcheck(OPERATORS.interlace_fold_backward.default, (fold, *still, 8))
    torch.library.opcheck(OPERATORS.interlace_write_.default, (*still, 8, False))
    torch.library.opcheck(OPERATORS.fold_restore_.default, (still[0], fold))


def test_mean_of_nothing_is_refused() -> None:
    for x, fold in ((torch.zeros(4, 8, 3), 4), (torch.zeros(4, 8, 3, 3), 0), (torch.zeros(4, 8, 3, 3), 9)):
        with pytest.raises(ValueError, match=r"fold_mean.*\(4, 8, 3"):
            fold_mean(x, fold)
    with pytest.raises(ValueError, match="int64"):
        fold_mean(torch.zeros(4, 8, 3, 3, dtype=torch.long), 4)
    with pytest.raises(ValueError, match="disagree"):
        interlace_fold(torch.zeros(8, 8, 3, 3), torch.zeros(1, 4), torch.zeros(2, 4, 4), 8)
