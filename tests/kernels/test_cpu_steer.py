"""The steering networks as one native operation, against float64 loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tinkit.ops import native

DTYPES = {torch.float32: 2e-6, torch.float64: 1e-13}


@pytest.fixture(autouse=True)
def _loaded() -> None:
    if not native.load():
        pytest.skip(f"no native kernels: {native.state().problem}")


def weights_of(fold: int, frames: int, dtype: torch.dtype) -> list[Tensor]:
    shapes = [(1, fold, 3), (1,), (frames, frames), (frames,), (2, frames), (2,), (2, fold, 3), (2,)]
    return [(torch.randn(shape) / math.sqrt(math.prod(shape[1:]) or 1)).to(dtype) for shape in shapes]


def loops(pooled: Tensor, weights: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """The two networks in float64, a number at a time."""
    conv, conv_bias, fc1, fc1_bias, fc2, fc2_bias, gain_conv, gain_bias = (w.double().numpy() for w in weights)
    frames, fold = fc1.shape[0], pooled.shape[1]
    sequences = pooled.double().numpy().reshape(-1, frames, fold)
    offset, gain = np.zeros((len(sequences), 4)), np.zeros((len(sequences), frames, 4))
    filters, biases = np.concatenate([conv, gain_conv]), np.concatenate([conv_bias, gain_bias])
    for b, sequence in enumerate(sequences):
        padded = np.concatenate([np.zeros((1, fold)), sequence, np.zeros((1, fold))])
        along = np.zeros((3, frames))
        for n in range(3):
            for t in range(frames):
                along[n, t] = biases[n] + sum(padded[t + tap] @ filters[n, :, tap] for tap in range(3))
        z = fc2 @ np.maximum(fc1 @ along[0] + fc1_bias, 0) + fc2_bias
        learned = 4 * (1 / (1 + np.exp(-z)) - 0.5)
        offset[b] = [*learned, *-learned]
        for n in range(4):
            gain[b, :, n] = 2 / (1 + np.exp(-along[1 + n % 2]))
    return offset, gain


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("clips", "frames", "fold"), [(2, 8, 64), (3, 5, 12), (1, 1, 4), (2, 16, 515), (4, 8, 512)])
def test_against_loops(clips: int, frames: int, fold: int, dtype: torch.dtype) -> None:
    pooled, weights = torch.randn(clips * frames, fold).to(dtype), weights_of(fold, frames, dtype)
    for given in (pooled, pooled.t().contiguous().t()):
        found = torch.ops.tinkit.steer(given, *weights)
        for ours, wanted in zip(found, loops(pooled, weights), strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours.double().numpy(), wanted, rtol=0, atol=DTYPES[dtype])


def test_extremes_saturate_and_nothing_hides_what_is_no_number() -> None:
    weights = weights_of(8, 4, torch.float32)
    for value in (1e30, -1e30):
        offset, gain = torch.ops.tinkit.steer(torch.full((4, 8), value), *weights)
        assert offset.isfinite().all()
        assert offset.abs().max() <= 2
        assert ((gain == 0) | (gain == 2)).all()
    offset, gain = torch.ops.tinkit.steer(torch.full((4, 8), math.nan), *weights)
    assert offset.isnan().all()
    assert gain.isnan().all()


def test_same_bits_on_any_number_of_threads() -> None:
    pooled, weights = torch.randn(64 * 8, 512), weights_of(512, 8, torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(torch.ops.tinkit.steer(pooled, *weights))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result[i], results[0][i]) for result in results for i in range(2))


def test_no_clips() -> None:
    offset, gain = torch.ops.tinkit.steer(torch.empty(0, 8), *weights_of(8, 4, torch.float32))
    assert offset.shape == (0, 4)
    assert gain.shape == (0, 4, 4)


def test_wrong_weights_are_refused() -> None:
    weights = weights_of(8, 4, torch.float32)
    with pytest.raises(RuntimeError, match="7 rows"):
        torch.ops.tinkit.steer(torch.empty(7, 8), *weights)
    with pytest.raises(RuntimeError, match="weight 0"):
        torch.ops.tinkit.steer(torch.empty(8, 9), *weights)
    with pytest.raises(RuntimeError, match=r"weight 4.*\(2, 3\)"):
        torch.ops.tinkit.steer(torch.empty(8, 8), *weights[:4], weights[4][:, :3], *weights[5:])
    with pytest.raises(RuntimeError, match="float32 or float64"):
        torch.ops.tinkit.steer(torch.empty(8, 8).half(), *(weight.half() for weight in weights))
