"""SlowFast: one path sees few frames with many channels, the other every frame with an eighth of the channels.

Feichtenhofer et al. 2019, "SlowFast Networks for Video Recognition", https://arxiv.org/abs/1812.03982: section 3.1 and
3.2 (the two pathways; ``speed_ratio`` is alpha, 1/8 is beta), 3.3 (lateral connections), table 1 (the architecture).

The three code bases differ (a: alpha):

=================== =================== ======================== ======================================
what                x_temporal          mmaction2                pyslowfast
=================== =================== ======================== ======================================
slow frames         0, a, 2a, ...       0, a, 2a, ...            spread evenly from the first to the last
lateral connection  convolution         convolution              convolution, BatchNorm, ReLU
lateral kernel      5                   7, but 5 where a is 8    the same, but 5 from 101 layers on
features            slow, fast          fast, slow               slow, fast
classifier          no bias             bias                     bias
temporal blocks     all                 all                      the first 6 of a stage (101 layers: 23)
=================== =================== ======================== ======================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinkit.architectures import BLOCKS
from tinkit.models.clipnets.blocks import EXPANSION, WIDTHS, Bottleneck, Triple, conv3d

BETA = 8  # the slow path has 8 times the fast path's channels
LATERAL = 2  # a lateral connection gives twice the fast path's channels
Quad = tuple[int, int, int, int]


@dataclass(frozen=True)
class Choices:
    """What a code base chose: see the module's table. ``temporal_blocks`` counts those of a stage whose first
    convolution sees three frames."""

    spread_frames: bool = False
    lateral_norm: bool = False
    fast_first: bool = False
    classifier_bias: bool = True
    temporal_blocks: int | None = None


VARIANTS = {
    "x_temporal": Choices(classifier_bias=False),
    "mmaction2": Choices(fast_first=True),
    "pyslowfast": Choices(spread_frames=True, lateral_norm=True, temporal_blocks=6),
}


def published_lateral_kernel(variant: str, depth: int, speed_ratio: int) -> int:
    """The kernel over time of the lateral connections in the configurations that ``variant`` published."""
    if variant == "x_temporal" or speed_ratio == 8 or (variant == "pyslowfast" and depth > 50):
        return 5
    return 7


class SlowFast(nn.Module):
    """Clips (B, 3, T, H, W), T = ``num_frames``, to features (B, 2304): the means of both paths, one after the other.

    The fast path sees all frames, the slow one every ``speed_ratio``-th (alpha of the paper), ``num_frames /
    speed_ratio`` of them. ``lateral_kernel`` is odd.
    """

    pretrained_cfg: dict[str, tuple[float, ...]]
    slow_frames: Tensor

    def __init__(self, depth: int, variant: str, num_frames: int, speed_ratio: int, lateral_kernel: int) -> None:
        super().__init__()
        self.choices = VARIANTS[variant]
        frames = slow_frames(num_frames, speed_ratio, spread=self.choices.spread_frames)
        self.register_buffer("slow_frames", frames, persistent=False)
        blocks = self.choices.temporal_blocks
        self.slow = Pathway(depth, 1, 1, (1, 1, 3, 3), blocks, lateral=True)
        self.fast = Pathway(depth, BETA, 5, (3, 3, 3, 3), blocks, lateral=False)
        sources = [WIDTHS[0], *(EXPANSION * width for width in WIDTHS[:3])]
        self.lateral = nn.ModuleList(
            Lateral(width // BETA, lateral_kernel, speed_ratio, norm=self.choices.lateral_norm) for width in sources
        )
        self.num_features = EXPANSION * WIDTHS[-1] * (BETA + 1) // BETA

    def forward(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 2304)."""
        slow, fast = self.slow.stem(clip.index_select(2, self.slow_frames)), self.fast.stem(clip)
        for lateral, slow_stage, fast_stage in zip(self.lateral, self.slow.stages(), self.fast.stages(), strict=True):
            slow = slow_stage(torch.cat([slow, lateral(fast)], 1))
            fast = fast_stage(fast)
        pooled = [slow.mean((2, 3, 4)), fast.mean((2, 3, 4))]
        return torch.cat(pooled[::-1] if self.choices.fast_first else pooled, 1)


def slow_frames(num_frames: int, speed_ratio: int, *, spread: bool) -> Tensor:
    """The frames of the slow path: every ``speed_ratio``-th, or as many ``spread`` from the first to the last."""
    if spread:
        return torch.linspace(0, num_frames - 1, num_frames // speed_ratio).long()
    return torch.arange(0, num_frames, speed_ratio)


class Pathway(nn.Module):
    """One of the two residual networks: a stem over ``stem_frames`` frames and four stages of bottlenecks.

    ``narrower`` divides every number of channels. The first convolution of a stage's blocks sees ``frames`` frames, in
    its first ``temporal_blocks`` blocks (None: in all). With ``lateral``, each stage's input is wider by what the
    lateral connections bring.
    """

    def __init__(
        self, depth: int, narrower: int, stem_frames: int, frames: Quad, temporal_blocks: int | None, *, lateral: bool
    ) -> None:
        super().__init__()
        channels = WIDTHS[0] // narrower
        self.conv1 = conv3d(3, channels, (stem_frames, 7, 7), (1, 2, 2))
        self.bn1 = nn.BatchNorm3d(channels)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[depth], strict=True), 1):
            temporal = blocks if temporal_blocks is None else min(blocks, temporal_blocks)
            spans = [frames[stage - 1]] * temporal + [1] * (blocks - temporal)
            brought = LATERAL * channels // BETA if lateral else 0
            side = 1 if stage == 1 else 2
            self.add_module(f"layer{stage}", _stage(channels + brought, width // narrower, (1, side, side), spans))
            channels = EXPANSION * width // narrower

    def stem(self, clip: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C, T, H/4, W/4)."""
        y: Tensor = self.maxpool(functional.relu(self.bn1(self.conv1(clip)), inplace=True))
        return y

    def stages(self) -> list[nn.Module]:
        """The four stages, in order; all but the first halve height and width, none changes the number of frames."""
        return [self.get_submodule(f"layer{stage}") for stage in (1, 2, 3, 4)]


class Lateral(nn.Module):
    """A convolution over time of stride ``speed_ratio``, from the fast path to the slow one (section 3.3, "T-conv")."""

    def __init__(self, channels: int, kernel: int, speed_ratio: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = conv3d(channels, LATERAL * channels, (kernel, 1, 1), (speed_ratio, 1, 1))
        self.bn = nn.BatchNorm3d(LATERAL * channels) if norm else None

    def forward(self, fast: Tensor) -> Tensor:
        """(B, channels, T, H, W) -> (B, 2 * channels, T / speed_ratio, H, W)."""
        y: Tensor = self.conv(fast)
        return y if self.bn is None else functional.relu(self.bn(y), inplace=True)


def _stage(channels: int, width: int, stride: Triple, spans: list[int]) -> nn.Sequential:
    """``spans`` gives the frames that each block's first convolution sees."""
    convolve = partial(conv3d, kernel=(1, 3, 3))
    blocks = []
    for index, frames in enumerate(spans):
        blocks.append(Bottleneck(channels, width, stride if index == 0 else (1, 1, 1), convolve, frames))
        channels = EXPANSION * width
    return nn.Sequential(*blocks)
