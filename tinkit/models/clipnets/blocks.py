"""Residual blocks of 3D convolutions, as all 3D networks here are built of them (He et al. 2016, sections 3.2 and 4.1,
https://arxiv.org/abs/1512.03385, with a third axis: time).

Features are (B, C, T, H, W); kernels and strides are named in that order, (frames, rows, columns).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]
Convolve = Callable[..., nn.Module]  # of channels in, channels out, stride=

WIDTHS = (64, 128, 256, 512)  # of the four stages
EXPANSION = 4  # a bottleneck gives four times as many channels as its inner convolutions have


def expansion(depth: int) -> int:
    """By how much a stage's output is wider than its inner convolutions: 1 below 50 layers, 4 from there on."""
    return 1 if depth < 50 else EXPANSION


def conv3d(channels: int, out: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Conv3d:
    """A convolution without bias that keeps the size where its stride is 1; the kernel's sides are odd."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(channels, out, kernel, stride, padding, bias=False)


def shortcut(channels: int, out: int, stride: Triple) -> nn.Module | None:
    """What brings a block's input to the shape of its output; None where it has that shape."""
    if channels == out and stride == (1, 1, 1):
        return None
    return nn.Sequential(conv3d(channels, out, (1, 1, 1), stride), nn.BatchNorm3d(out))


class BasicBlock(nn.Module):
    """``relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))``, of ``width`` channels; ``conv1`` carries the stride."""

    def __init__(self, channels: int, width: int, stride: Triple, convolve: Convolve) -> None:
        super().__init__()
        self.conv1 = convolve(channels, width, stride=stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolve(width, width, stride=(1, 1, 1))
        self.bn2 = nn.BatchNorm3d(width)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, H, W) -> (B, width, T', H', W')."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """``relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))``, 4 x ``width`` channels out.

    ``conv1`` narrows and ``conv3`` widens, frame by frame unless ``frames``, the kernel of ``conv1`` over time, is more
    than 1. ``conv2`` is made by ``convolve`` and carries the stride.
    """

    def __init__(self, channels: int, width: int, stride: Triple, convolve: Convolve, frames: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3d(channels, width, (frames, 1, 1))
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolve(width, width, stride=stride)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = conv3d(width, EXPANSION * width, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(EXPANSION * width)
        self.downsample = shortcut(channels, EXPANSION * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, H, W) -> (B, 4 * width, T', H', W')."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


def start_weights(network: nn.Module, *, zero_init_last: bool) -> None:
    """He et al.'s normal start for every convolution (https://arxiv.org/abs/1502.01852, by fan-out), norms at one.

    ``zero_init_last`` starts the last norm of every residual branch at zero, so that each block starts as its shortcut.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if zero_init_last:
        for module in network.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.zeros_(cast(Tensor, last.weight))
