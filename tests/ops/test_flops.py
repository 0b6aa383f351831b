"""PyTorch's own counter counts tinkit's operators, and a TIN costs what a TSN does and its steering more."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tinkit.models import VideoClassifier
from tinkit.ops import fold_mean, interlace, interlaced_conv, steer, steered_conv

CLIPS, FRAMES = 2, 3
ROWS = CLIPS * FRAMES
FOLD = 8
# OffsetNet's convolution of three taps, GainNet's two, and two matrices of T x T and T x 2.
STEERING = 2 * (ROWS * FOLD * 3 + ROWS * FOLD * 3 * 2 + CLIPS * (FRAMES * FRAMES + FRAMES * 2))
CONVOLUTION = 2 * ROWS * 10 * 16 * 9 * 5 * 4  # 10 outputs of 16 channels and 9 pixels, at 5 x 4 places


def inputs() -> tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor]:
    torch.manual_seed(0)
    shapes = [(1, FOLD, 3), (1,), (FRAMES, FRAMES), (FRAMES,), (2, FRAMES), (2,), (2, FOLD, 3), (2,)]
    steering = [torch.randn(shape, requires_grad=True) for shape in shapes]
    x = torch.randn(ROWS, 16, 5, 4, requires_grad=True)
    offset = torch.zeros(CLIPS, 4, requires_grad=True)
    gain = torch.ones(CLIPS, FRAMES, 4, requires_grad=True)
    return x, offset, gain, steering, torch.randn(10, 16, 3, 3, requires_grad=True)


def counted(call: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def forward_and_backward(call: Any) -> tuple[int, int]:
    forward = counted(call)
    return forward, counted(lambda: call().sum().backward()) - forward


def test_each_operator_by_hand() -> None:
    x, offset, gain, steering, weight = inputs()
    padded = ((1, 1), (1, 1))
    assert forward_and_backward(lambda: interlace(x, offset, gain, FOLD)) == (0, 0)
    assert forward_and_backward(lambda: fold_mean(x, FOLD)) == (0, 0)
    pooled = torch.randn(ROWS, FOLD, requires_grad=True)
    assert forward_and_backward(lambda: steer(pooled, steering)[1]) == (STEERING, 2 * STEERING)
    assert forward_and_backward(lambda: interlaced_conv(x, offset, gain, FOLD, weight, None, *padded)) == (
        CONVOLUTION,
        2 * CONVOLUTION,
    )
    assert forward_and_backward(lambda: steered_conv(x, FOLD, steering, weight, None, *padded)[0]) == (
        STEERING + CONVOLUTION,
        2 * (STEERING + CONVOLUTION),
    )


def test_only_gradients_that_are_wanted_count() -> None:
    x, offset, gain, steering, weight = inputs()
    x, offset, gain = x.detach(), offset.detach(), gain.detach()
    padded = ((1, 1), (1, 1))
    assert forward_and_backward(lambda: interlaced_conv(x, offset, gain, FOLD, weight, None, *padded)) == (
        CONVOLUTION,
        CONVOLUTION,
    )
    frozen = [tensor.detach() for tensor in steering]
    assert forward_and_backward(lambda: steered_conv(x, FOLD, frozen, weight, None, *padded)[0]) == (
        STEERING + CONVOLUTION,
        CONVOLUTION,
    )


def test_a_convolution_in_groups_as_pytorch_counts_it() -> None:
    x, offset, gain, _, _ = inputs()
    weight = torch.randn(12, 4, 3, 3, requires_grad=True)
    settings = ((2, 1), (1, 0), (1, 1), 4)
    assert counted(lambda: interlaced_conv(x, offset, gain, FOLD, weight, None, *settings)) == counted(
        lambda: nn.functional.conv2d(x, weight, None, *settings)
    )


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_network_forwards(context: type[AbstractContextManager[None]]) -> None:
    video = torch.randn(CLIPS, 4, 3, 32, 32)
    counts = {}
    for temporal in ("tin", "tsm", "tsn"):
        model = VideoClassifier("resnet18", temporal, 5, 4).eval()  # type: ignore[arg-type]
        with context():
            counts[temporal] = counted(lambda model=model: model(video))
    folds = [16, 16, 16, 32, 32, 64, 64, 128]  # a quarter of what each block is given
    steering = sum(2 * (CLIPS * 4 * fold * 9 + CLIPS * (16 + 8)) for fold in folds)
    assert counts["tsm"] == counts["tsn"]
    assert counts["tin"] - counts["tsn"] == steering


def test_a_step_of_training() -> None:
    """A backward pass costs twice the forward one for everything but the first convolution, whose input has none."""
    video = torch.randn(1, 4, 3, 32, 32)
    counts = {}
    for temporal in ("tin", "tsn"):
        model = VideoClassifier("resnet18", temporal, 5, 4).train()  # type: ignore[arg-type]
        counts[temporal] = forward_and_backward(lambda model=model: model(video))
    steering = [after - before for before, after in zip(counts["tsn"], counts["tin"], strict=True)]
    assert steering[0] > 0
    assert steering[1] == 2 * steering[0]
