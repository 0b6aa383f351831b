"""R3D, R(2+1)D and MC3: a residual network whose every convolution looks at space and time.

Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action Recognition", https://arxiv.org/abs/1711.11248:
section 3.3 (R3D), 3.4 (MCx: 3D convolutions before group x only, where the stem is group 1 and stage 1 group 2),
3.5 (R(2+1)D), table 1 (the architecture).

The two code bases that trained them differ:

=========== ============================ ================================================
family      x_temporal                   torchvision
=========== ============================ ================================================
r3d         stem 7x7x7, max-pool 3x3x3   stem 3x7x7 and no pool, as table 1
r2plus1d    stem of 83 mid channels      stem of 45 mid channels and no pool; a block's
            (the paper's formula), pool  second convolution has as many mid channels as
            1x3x3 by key                 its first
mc3         -                            stem 3x7x7 and no pool; 1x3x3 from stage 2 on
=========== ============================ ================================================
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from tinkit.architectures import BLOCKS
from tinkit.models.clipnets.blocks import WIDTHS, BasicBlock, Bottleneck, Convolve, Triple, conv3d, expansion

Family = Literal["r3d", "r2plus1d", "mc3"]
STEM_STRIDE: Triple = (1, 2, 2)
TORCHVISION_STEM_MID = 45


def mid_channels(channels: int, out: int, kernel: Triple) -> int:
    """How many channels lie between space and time so that both halves have the parameters of the whole.

    Tran et al. 2018, section 3.5: ``floor(t d^2 N_in N_out / (d^2 N_in + t N_out))`` for a kernel of t x d x d.
    """
    frames, area = kernel[0], kernel[1] * kernel[2]
    return frames * area * channels * out // (area * channels + frames * out)


class Conv2Plus1d(nn.Module):
    """A convolution over space, BatchNorm and ReLU, a convolution over time (Tran et al. 2018, section 3.5).

    ``mid`` channels lie between them (default: :func:`mid_channels`).
    """

    def __init__(self, channels: int, out: int, kernel: Triple, stride: Triple, mid: int | None = None) -> None:
        super().__init__()
        mid = mid_channels(channels, out, kernel) if mid is None else mid
        self.spatial = conv3d(channels, mid, (1, *kernel[1:]), (1, *stride[1:]))
        self.bn = nn.BatchNorm3d(mid)
        self.temporal = conv3d(mid, out, (kernel[0], 1, 1), (stride[0], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T, H, W) -> (B, out, T', H', W')."""
        y: Tensor = self.temporal(functional.relu(self.bn(self.spatial(x)), inplace=True))
        return y


class ResNet3d(nn.Module):
    """Clips (B, 3, T, H, W) to features (B, ``num_features``): stem, four stages, the mean over time and space.

    ``depth`` is one of :data:`~tinkit.architectures.BLOCKS`; bottlenecks from 50 on. ``variant`` is
    ``x_temporal``
    or ``torchvision``; ``stem_pool`` (R(2+1)D of ``x_temporal`` only) pools 3x3 pixels behind the stem. ``mc3`` is
    torchvision's only.
    """

    pretrained_cfg: dict[str, tuple[float, ...]]

    def __init__(self, family: Family, depth: int, variant: str, *, stem_pool: bool = False) -> None:
        super().__init__()
        self.family, self.variant = family, variant
        self.num_features = WIDTHS[-1] * expansion(depth)
        self.conv1 = self._stem()
        self.bn1 = nn.BatchNorm3d(WIDTHS[0])
        self.maxpool = self._stem_pool(wanted=stem_pool)
        channels = WIDTHS[0]
        for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[depth], strict=True), 1):
            self.add_module(f"layer{stage}", self._stage(stage, depth, channels, width, blocks))
            channels = width * expansion(depth)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, num_features)."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(clip)), inplace=True))
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean((2, 3, 4))

    def _stem(self) -> nn.Module:
        if self.family == "r2plus1d":
            mid = TORCHVISION_STEM_MID if self.variant == "torchvision" else None
            return Conv2Plus1d(3, WIDTHS[0], (3, 7, 7), STEM_STRIDE, mid)
        return conv3d(3, WIDTHS[0], (7 if self.variant == "x_temporal" else 3, 7, 7), STEM_STRIDE)

    def _stem_pool(self, *, wanted: bool) -> nn.Module:
        if self.variant == "x_temporal" and self.family == "r3d":
            return nn.MaxPool3d(3, stride=2, padding=1)
        return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)) if wanted else nn.Identity()

    def _stage(self, stage: int, depth: int, channels: int, width: int, blocks: int) -> nn.Sequential:
        """The first block halves space and, but in stage 1 and where its convolutions see one frame, time."""
        kernel: Triple = (1, 3, 3) if self.family == "mc3" and stage > 1 else (3, 3, 3)
        side = 1 if stage == 1 else 2
        stride: Triple = (1 if kernel[0] == 1 else side, side, side)
        block = BasicBlock if depth < 50 else Bottleneck
        made = []
        for index in range(blocks):
            convolve = self._convolve(kernel, channels, width)
            made.append(block(channels, width, stride if index == 0 else (1, 1, 1), convolve))
            channels = width * expansion(depth)
        return nn.Sequential(*made)

    def _convolve(self, kernel: Triple, channels: int, width: int) -> Convolve:
        """What makes the convolutions of a block of ``channels`` input channels."""
        if self.family != "r2plus1d":
            return partial(conv3d, kernel=kernel)
        mid = mid_channels(channels, width, kernel) if self.variant == "torchvision" else None
        return partial(Conv2Plus1d, kernel=kernel, mid=mid)
