"""Temporal pooling as the TSM repository has it: half as many frames from the second stage on.

The maximum over three frames around every second one, before ``layer2`` of a ResNet: pool2 of Wang et al., Non-local
Neural Networks (CVPR 2018, arXiv 1711.07971, table 1). Stages behind it cost half. A TIN cannot have it: its steering
networks are made for one number of frames.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tinkit.errors import UserError
from tinkit.models.temporal.between import STAGES, put_first

POOLED_STAGE = "layer2"  # the first that sees half of the frames


class TemporalPool(nn.Module):
    """The maximum over frames ``2t - 1``, ``2t`` and ``2t + 1`` of each clip, a frame outside the clip counting not."""

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        if num_segments < 2 or num_segments % 2:
            raise UserError(
                f"temporal pooling of {num_segments} segments", expected="an even number: it leaves half of them"
            )
        self.num_segments = num_segments

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T/2, C, H, W), in the dtype and memory format of ``x``."""
        clips = x.unflatten(0, (x.shape[0] // self.num_segments, self.num_segments)).transpose(1, 2)
        pooled = F.max_pool3d(clips, kernel_size=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
        return pooled.transpose(1, 2).flatten(0, 1)

    def extra_repr(self) -> str:
        """The setting, for ``print(model)``."""
        return f"num_segments={self.num_segments}"


def add_temporal_pool(backbone: nn.Module, num_segments: int) -> None:
    """Pool before the second stage of a ResNet. The state dict does not change.

    Raises :class:`~tinkit.errors.UserError` for an odd number of segments and for a backbone without such stages.
    """
    put_first(backbone, POOLED_STAGE, "temporal_pool", TemporalPool(num_segments))


def stage_segments(num_segments: int, *, temporal_pool: bool = False) -> dict[str, int]:
    """How many frames of a clip each stage of a ResNet sees; the head sees as many as the last."""
    first = STAGES.index(POOLED_STAGE)
    later = num_segments // 2 if temporal_pool else num_segments
    return {stage: num_segments if index < first else later for index, stage in enumerate(STAGES)}
