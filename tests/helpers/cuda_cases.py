"""Cases of the operators drawn at random, and their truth in float64: what a native implementation is held against."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tinkit.ops import Steering
from tinkit.ops.cuda_operators import CudaOperators

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WILD = (math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**31))
# Two units in the last place of the largest value: the product with a gain and the rounding to the dtype.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@dataclass(frozen=True)
class Case:
    """Shapes and values of one call. ``skew`` elements lie before the features in memory: their alignment."""

    clips: int
    frames: int
    groups: int
    width: int  # channels of a group
    rest: int
    height: int
    breadth: int
    dtype: torch.dtype
    channels_last: bool
    skew: int
    seed: int

    @property
    def fold(self) -> int:
        return self.groups * self.width

    def features(self, channels: int, device: str = "cpu") -> Tensor:
        """Standard normal, at the case's alignment."""
        shape = (self.clips * self.frames, channels, self.height, self.breadth)
        memory = torch.randn(math.prod(shape) + self.skew).to(device, self.dtype)[self.skew :]
        if self.channels_last:
            rows, _, height, breadth = shape
            return memory.view(rows, height, breadth, channels).permute(0, 3, 1, 2)
        return memory.view(shape)

    def tensors(self, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, the output's gradient, offset and gain; the same numbers on every device."""
        torch.manual_seed(self.seed)
        draw = random.Random(self.seed)
        channels = self.fold + self.rest
        dtype = torch.promote_types(self.dtype, torch.float32)
        kinds = (lambda: draw.uniform(-2, 2), lambda: draw.uniform(-9, 9), lambda: float(draw.randint(-6, 6)))
        offsets = [draw.choice((*kinds, lambda: draw.choice(WILD)))() for _ in range(self.clips * self.groups)]
        offset = torch.tensor(offsets, dtype=dtype).view(self.clips, self.groups)
        gain = torch.rand(self.clips, self.frames, self.groups, dtype=dtype) * 4 - 2
        return self.features(channels, device), self.features(channels, device), offset.to(device), gain.to(device)


CHOICES = {
    "clips": (1, 2, 3, 0),
    "frames": (1, 2, 3, 4, 5, 8, 11),  # a thread has four under way at once
    "groups": (1, 2, 3, 4, 5),
    "width": (1, 2, 3, 4, 8, 16),
    "rest": (0, 1, 3, 4, 8, 24),
    "height": (1, 2, 3, 4, 19, 0),
    "breadth": (1, 2, 3, 4, 19),
    "dtype": DTYPES,
    "channels_last": (False, True),
    "skew": (0, 1, 2, 4, 8),
    "seed": range(2**31),
}
"""What a case is drawn from: in every field by itself."""


def random_case(draw: random.Random) -> Case:
    """A case of any kind."""
    return Case(**{name: draw.choice(choices) for name, choices in CHOICES.items()})


def taps(offset: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """The operator over time as matrices (B, G, T output, T input), without gains, and their slope by the offset."""
    values = torch.zeros(*offset.shape, frames, frames, dtype=torch.float64)
    slopes = torch.zeros_like(values)
    for b, by_group in enumerate(offset.tolist()):
        for g, by in enumerate(by_group):
            if not math.isfinite(by) or abs(by) > 2 * frames:
                continue
            whole = math.floor(by)
            for t in range(frames):
                for source, share, slope in ((t - whole, 1 - (by - whole), -1), (t - whole - 1, by - whole, 1)):
                    if 0 <= source < frames:
                        values[b, g, t, source] += share
                        slopes[b, g, t, source] += slope
    return values, slopes


def truth(x: Tensor, grad: Tensor, offset: Tensor, gain: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output and the gradients of x, offset and gain, in float64."""
    (clips, frames, groups), gain = gain.shape, gain.double()
    values, slopes = taps(offset, frames)

    def grouped(tensor: Tensor) -> Tensor:
        area = tensor.shape[2] * tensor.shape[3]
        return tensor[:, :fold].double().reshape(clips, frames, groups, fold // groups * area)

    def with_rest(moved: Tensor, whole: Tensor) -> Tensor:
        return torch.cat([moved.reshape(whole.shape[0], fold, *whole.shape[2:]), whole[:, fold:].double()], 1)

    features, gradient = grouped(x), grouped(grad)
    shown = torch.einsum("bgts,bsgi->btgi", values, features)
    out = gain[..., None] * shown
    grad_x = torch.einsum("bgts,btgi->bsgi", values, gain[..., None] * gradient)
    slope = torch.einsum("bgts,bsgi->btgi", slopes, features)
    grad_offset = (gain * (gradient * slope).sum(3)).sum(1)
    return with_rest(out, x), with_rest(grad_x, grad), grad_offset, (gradient * shown).sum(3)


def steered(pooled: Tensor, weights: Steering) -> tuple[Tensor, Tensor]:
    """Offsets and gains in float64 from the fold's mean (B*T, F): the two networks a tap at a time."""
    frames = weights.fc1_weight.shape[0]
    by_frame = pooled.double().view(pooled.shape[0] // frames, frames, pooled.shape[1])
    padded = torch.nn.functional.pad(by_frame, (0, 0, 1, 1))

    def convolved(weight: Tensor, bias: Tensor) -> Tensor:
        taps_of = (padded[:, tap : tap + frames] @ weight[:, :, tap].double().T for tap in range(3))
        return sum(taps_of, bias.double())  # (B, T, filters)

    along = convolved(weights.offset_conv_weight, weights.offset_conv_bias)[..., 0]
    active = (along @ weights.fc1_weight.double().T + weights.fc1_bias.double()).relu()
    z = active @ weights.fc2_weight.double().T + weights.fc2_bias.double()
    offset = 4 * (torch.sigmoid(z) - 0.5)
    gain = 2 * torch.sigmoid(convolved(weights.gain_conv_weight, weights.gain_conv_bias))
    return torch.cat([offset, -offset], 1), torch.cat([gain, gain], 2)


@contextmanager
def unwritten_is_nan() -> Iterator[None]:
    """New tensors start as NaN, so that an element nobody wrote is found."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def assert_near(found: Tensor, wanted: Tensor, dtype: torch.dtype, terms: int = 1) -> None:
    """Every element within the dtype's tolerance of the largest; ``terms`` are added up in one element."""
    assert found.shape == wanted.shape
    if wanted.numel() == 0:
        return
    bound = TOLERANCE[dtype] * float(wanted.abs().max().clamp(min=1)) * max(1.0, math.sqrt(terms))
    error = float((found.double().cpu() - wanted).abs().max())
    assert error <= bound, (error, bound)


def check(case: Case, operators: CudaOperators, device: str = "cpu") -> None:
    """Every operator on the case's tensors against float64, and what it leaves alone bit for bit."""
    x, grad, offset, gain = case.tensors(device)
    fold, dtype, area = case.fold, case.dtype, case.height * case.breadth
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    wanted, *gradients = truth(x.cpu(), grad.cpu(), offset.cpu(), gain.cpu(), fold)
    before = x.clone(memory_format=torch.preserve_format)
    with unwritten_is_nan():
        out = operators.interlace(x, offset, gain, fold)
        assert out.dtype == dtype
        assert out.stride() == torch.empty_like(x).stride()
        assert_near(out, wanted, dtype)
        assert torch.equal(out[:, fold:], x[:, fold:])
        assert torch.equal(operators.interlace_fold(x, offset, gain, fold), out[:, :fold])
        results = operators.interlace_backward(grad, x, offset, gain, fold)
        assert_near(results[0], gradients[0], dtype)
        assert torch.equal(results[0][:, fold:], grad[:, fold:])
        for found, value in zip(results[1:], gradients[1:], strict=True):
            assert_near(found, value, sums, terms=area * case.width)
        of_fold = operators.interlace_fold_backward(grad[:, :fold], x, offset, gain, fold)
        assert torch.equal(of_fold[0][:, :fold], results[0][:, :fold])
        assert not of_fold[0][:, fold:].any()
        for found, value in zip(of_fold[1:], results[1:], strict=True):
            assert torch.equal(found, value)
        for source, moved, transposed in ((x, out, False), (grad, results[0], True)):
            kept = source.clone(memory_format=torch.preserve_format)
            saved = operators.interlace_write_(source, offset, gain, fold, transposed)
            assert torch.equal(source, moved)
            assert torch.equal(saved, kept[:, :fold])
            operators.fold_restore_(source, saved)
            assert torch.equal(source, kept)
        if area:
            mean = operators.fold_mean(x, fold)
            assert mean.dtype == sums
            assert_near(mean, x[:, :fold].double().mean((2, 3)).cpu(), sums)
    assert torch.equal(x, before)
