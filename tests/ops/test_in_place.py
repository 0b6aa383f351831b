"""The end of a block and the backward pass, in place: against float64, to the bit where none rounds.

Each runs natively or as plain PyTorch, as the machine has it; `make test` runs both.
"""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinkit.ops import interlace_reference
from tinkit.ops.ends import add_relu_

OPERATORS = torch.ops.tinkit
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


@settings(max_examples=80)
@given(st.sampled_from(DTYPES), st.integers(0, 3), st.integers(1, 140), st.integers(1, 9), st.integers(0, 2**31))
def test_add_and_relu_in_one_pass(dtype: torch.dtype, rows: int, channels: int, size: int, seed: int) -> None:
    x, shortcut = (random(seed + i, rows, channels, size, size + 1, dtype=dtype) for i in range(2))
    truth, before = (x + shortcut).relu(), shortcut.clone()
    add_relu_(x, shortcut)
    assert torch.equal(x, truth)
    assert torch.equal(shortcut, before)


def test_add_and_relu_keep_what_is_no_number() -> None:
    x, shortcut = random(0, 2, 40, 3, 3, dtype=torch.float32), random(1, 2, 40, 3, 3, dtype=torch.float32)
    x[0, 3, 1, 1], shortcut[1, 39, 2, 2] = float("nan"), float("inf")
    truth = (x + shortcut).relu()
    add_relu_(x, shortcut)
    torch.testing.assert_close(x, truth, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=80)
@given(
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 34),
    st.integers(0, 40),
    st.integers(1, 7),
    st.integers(0, 2**31),
)
def test_backward_in_two_halves_is_the_derivative(
    last: bool, adds: bool, clips: int, frames: int, groups: int, width: int, rest: int, size: int, seed: int
) -> None:
    fold = groups * width
    x = random(seed, clips * frames, fold + rest, size, size).requires_grad_()
    grad = random(seed + 1, clips * frames, fold + rest, size, size)
    offset = (2 * random(seed + 2, clips, groups)).requires_grad_()
    gain = random(seed + 3, clips, frames, groups).requires_grad_()
    interlace_reference(x, offset, gain, fold).backward(grad)
    assert x.grad is not None
    truth = x.grad.clone()
    added = random(seed + 4, clips * frames, fold) if adds else None
    if added is not None:
        truth[:, :fold] += added[..., None, None]
    layout = torch.channels_last if last else torch.contiguous_format
    ours, moving = (t.detach().clone().contiguous(memory_format=layout) for t in (grad, x[:, :fold]))
    to_offset, to_gain = OPERATORS.interlace_products(ours, moving, offset.detach(), gain.detach())
    OPERATORS.interlace_transpose_(ours, offset.detach(), gain.detach(), fold, added)
    torch.testing.assert_close(to_offset, offset.grad, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(to_gain, gain.grad, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-10)


def test_long_clips_move_back_in_place_too() -> None:
    """A clip that no stack could keep, whose columns are whole cache lines."""
    frames, fold = 100, 64
    grad, offset, gain = random(0, frames, 80, 2, 2), 90 * random(1, 1, 4), random(2, 1, frames, 4)
    x = torch.zeros_like(grad).requires_grad_()
    interlace_reference(x, offset, gain, fold).backward(grad)
    OPERATORS.interlace_transpose_(grad, offset, gain, fold, None)
    torch.testing.assert_close(grad, x.grad, rtol=1e-12, atol=1e-12)


def test_empty_tensors_of_any_strides() -> None:
    for shape, strides in (((0, 8, 3, 3), (1, 1, 1, 1)), ((4, 8, 0, 3), (0, 0, 0, 0)), ((0, 8, 1, 1), (5, 3, 9, 9))):
        x = torch.empty(0).as_strided(shape, strides)
        clips = shape[0] // 4
        offset, gain, beside = torch.zeros(clips, 2), torch.ones(clips, 4, 2), torch.empty_like(x[:, :4])
        assert OPERATORS.interlace_write_(x, offset, gain, 4, False).shape == (shape[0], 4, *shape[2:])
        OPERATORS.fold_restore_(x, beside)
        add_relu_(x, x.clone())
        OPERATORS.interlace_transpose_(x, offset, gain, 4, None)
        to_offset, to_gain = OPERATORS.interlace_products(x, beside, offset, gain)
        assert (to_offset.shape, to_gain.shape) == (offset.shape, gain.shape)
        assert not to_offset.any()
        assert not to_gain.any()
