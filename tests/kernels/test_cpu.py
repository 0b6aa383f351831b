"""The CPU kernels against float64, in both layouts, four dtypes and every instruction set that this processor has."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.cpu_operators import ROUNDING, SUMMING, assert_close, opened_library, ops
from tests.helpers.named_weights import GOLDEN
from tests.helpers.native_levels import LEVELS, using_level
from tests.helpers.native_truth import Case, Truth, draw, exact, truth

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module", autouse=True)
def library() -> ctypes.CDLL:
    return opened_library()


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Iterator[str]:
    with using_level(library, request.param) as name:
        assert library.tinkit_level().decode() == name
        yield name


def assert_right(case: Case, wanted: Truth | None = None) -> None:
    """All operators on the features of ``case``."""
    wanted = wanted or truth(case)
    dtype, fold = case.x.dtype, case.fold
    rounding, summing = ROUNDING[dtype], SUMMING[dtype]
    before = case.x.clone()
    out = ops.interlace(*case.steered)
    assert out.dtype == dtype
    assert out.stride() == torch.empty_like(case.x).stride()
    assert_close(out, wanted.out, rounding)
    assert torch.equal(out[:, fold:], case.x[:, fold:])
    narrow = ops.interlace_fold(*case.steered)
    assert torch.equal(narrow, out[:, :fold])
    gradients = ops.interlace_backward(case.grad, *case.steered)
    assert_close(gradients[0], wanted.x, rounding)
    assert torch.equal(gradients[0][:, fold:], case.grad[:, fold:])
    assert_close(gradients[1], wanted.offset, summing, wanted.offset_terms)
    assert_close(gradients[2], wanted.gain, summing, wanted.gain_terms)
    narrow_gradients = ops.interlace_fold_backward(case.grad[:, :fold], *case.steered)
    assert torch.equal(narrow_gradients[0][:, :fold], gradients[0][:, :fold])
    assert not narrow_gradients[0][:, fold:].any()
    assert all(torch.equal(*pair) for pair in zip(narrow_gradients[1:], gradients[1:], strict=True))
    assert torch.equal(case.x, before)
    mean = ops.fold_mean(case.x, fold)
    assert mean.dtype == torch.promote_types(dtype, torch.float32)
    if case.x.numel():
        assert_close(mean, exact(case.x)[:, :fold].mean((2, 3)), summing, abs(exact(case.x)[:, :fold]).mean((2, 3)))
    assert_borrowed_and_restored(case, out, gradients[0])


def assert_borrowed_and_restored(case: Case, out: Tensor, grad_x: Tensor) -> None:
    fold = case.fold
    for features, transposed, moved in ((case.x, False, out), (case.grad, True, grad_x)):
        borrowed = features.clone(memory_format=torch.preserve_format)
        saved = ops.interlace_write_(borrowed, case.offset, case.gain, fold, transposed)
        assert saved.is_contiguous() or saved.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(saved, features[:, :fold])
        assert torch.equal(borrowed, moved)
        ops.fold_restore_(borrowed, saved)
        assert torch.equal(borrowed, features)


SHAPES = {
    "first block": ((16, 64, 14, 14), 8, 4, 16),
    "last block": ((16, 256, 7, 7), 8, 4, 64),
    "groups of 3 channels": ((10, 20, 5, 3), 5, 4, 12),
    "groups of one channel": ((6, 9, 4, 4), 3, 7, 7),
    "all move": ((8, 24, 3, 3), 4, 3, 24),
    "one frame a clip": ((5, 8, 4, 4), 1, 2, 4),
    "one pixel": ((8, 40, 1, 1), 4, 4, 20),
    "one channel": ((8, 1, 6, 6), 4, 1, 1),
    "many frames": ((64, 8, 9, 9), 64, 2, 4),
    "more frames than are kept at hand": ((70, 64, 3, 3), 70, 1, 64),
    "one long row": ((4, 5, 1, 4099), 2, 1, 3),
}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_operators_at_every_level(level: str, shape: str, dtype: torch.dtype, channels_last: bool) -> None:
    for shift in (0, 1):
        assert_right(draw(*SHAPES[shape], dtype=dtype, channels_last=channels_last, shift=shift))


offsets = st.one_of(
    st.floats(-8, 8, width=32),
    st.integers(-6, 6).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**63)]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_drawn_shapes_and_offsets(level: str, data: st.DataObject) -> None:
    frames, groups = data.draw(st.integers(1, 9), "frames"), data.draw(st.integers(1, 5), "groups")
    fold = groups * data.draw(st.integers(1, 40), "width")
    shape = (
        frames * data.draw(st.integers(0, 3), "clips"),
        fold + data.draw(st.integers(0, 40), "rest"),
        data.draw(st.integers(1, 6), "height"),
        data.draw(st.integers(1, 6), "breadth"),
    )
    case = draw(
        shape,
        frames,
        groups,
        fold,
        dtype=data.draw(st.sampled_from(DTYPES), "dtype"),
        channels_last=data.draw(st.booleans(), "channels_last"),
        shift=data.draw(st.integers(0, 40), "shift"),
        seed=data.draw(st.integers(0, 2**31), "seed"),
    )
    drawn = [data.draw(offsets, "offset") for _ in range(case.offset.numel())]
    assert_right(case._replace(offset=torch.tensor(drawn).to(case.offset).view(case.offset.shape)))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_outputs_too_large_for_the_caches(level: str, dtype: torch.dtype, channels_last: bool) -> None:
    """They are written past the caches, from 4 MiB on; the second with groups that are no whole vectors."""
    width = 160 // (torch.finfo(dtype).bits // 8)
    for fold in (64, 96):
        case = draw((4, 128, 52, width), 2, 4, fold, dtype=dtype, channels_last=channels_last)
        assert case.x.nbytes > 4 << 20
        assert_right(case)


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_golden_numbers(level: str, case: str) -> None:
    data = np.load(GOLDEN / "interlace.npz")
    fold = json.loads(str(data["meta"]))[case]["C"] // json.loads(str(data["meta"]))[case]["shift_div"]
    x, offset, weight = (torch.from_numpy(data[f"{case}.{name}"]) for name in ("x", "offset", "weight"))
    gain = weight[:, :, :: weight.shape[2] // 4]  # neither contiguous nor asked to be
    for layout in (torch.contiguous_format, torch.channels_last):
        out = ops.interlace(x.contiguous(memory_format=layout), offset, gain, fold)
        np.testing.assert_allclose(
            exact(out), data[f"{case}.out"], rtol=1e-5, atol=1e-5 * abs(data[f"{case}.out"]).max()
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_number_of_half_precision(level: str, dtype: torch.dtype) -> None:
    """All bit patterns, each times several gains: the product is rounded as PyTorch rounds."""
    values = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype).view(1, 1, 256, 256)
    gains = [1.0, -1.0, 0.0, 1 + 2**-9, 1 - 2**-9, 2**-8 + 2**-20, 3.0, 1e-3, 1.9999999, 1e-30, 1e30]
    for gain in gains:
        out = ops.interlace(values, torch.zeros(1, 1), torch.full((1, 1, 1), gain), 1).float()
        product = values.float() * gain
        if level == "AVX512-BF16" and dtype == torch.bfloat16:  # its instruction takes subnormal numbers for zeros
            product = torch.where(product.abs() < torch.finfo(torch.float32).tiny, 0.0, product)
        wanted = product.to(dtype).float()
        assert torch.equal(out.isnan(), wanted.isnan())
        different = (out != wanted) & ~wanted.isnan()
        assert not different.any(), (gain, values.float()[different][:3], out[different][:3], wanted[different][:3])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 64, 28, 28), (16, 37, 19, 17), (2, 300, 9, 9)])
def test_same_bits_on_any_number_of_threads(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    groups = 3
    case = draw(shape, 2, groups, shape[1] // 4 * groups, dtype=dtype, channels_last=channels_last)  # type: ignore[arg-type]
    before = torch.get_num_threads()

    def results() -> list[Tensor]:
        return [
            ops.interlace(*case.steered),
            *ops.interlace_backward(case.grad, *case.steered),
            ops.fold_mean(case.x, case.fold),
        ]

    try:
        torch.set_num_threads(1)
        alone = results()
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            assert all(torch.equal(*pair) for pair in zip(results(), alone, strict=True)), threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_errors_are_at_most_twice_those_of_plain_pytorch(dtype: torch.dtype, channels_last: bool) -> None:
    from tinkit.ops.gather import gather_backward, gather_forward

    case = draw((16, 48, 28, 28), 8, 4, 32, dtype=dtype, channels_last=channels_last)
    wanted = truth(case)
    plain = (
        gather_forward(*case.steered),
        *gather_backward(case.grad, *case.steered),
        case.x[:, :32].float().mean((2, 3)),
    )
    ours = (ops.interlace(*case.steered), *ops.interlace_backward(case.grad, *case.steered), ops.fold_mean(case.x, 32))
    exactly = (*wanted[:4], exact(case.x)[:, :32].mean((2, 3)))
    for name, rough, found, value in zip(("out", "x", "offset", "gain", "mean"), plain, ours, exactly, strict=True):
        error, allowed = (float(np.abs(exact(tensor) - value).max()) for tensor in (found, rough))
        print(f"{dtype} {name}: {error:.1e}, plain {allowed:.1e}")
        assert error <= 2 * allowed, name
