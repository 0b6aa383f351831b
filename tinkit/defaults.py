"""Defaults of a network: as published, for recipes and for constructors. Needs no PyTorch.

What was published for one temporal module stands in its row (:mod:`tinkit.temporal`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tinkit.temporal import SPACE_TIME, find_temporal

OFFSET_INIT = 0.5
"""Where the offsets of TIN and r-TCN start, in frames."""
SPEED_RATIO = 4
"""SlowFast: how many frames the fast pathway sees for one of the slow one."""
RELATIONS_SAMPLED = 3
"""Relations a scale of multi-scale TRN in a training step."""


@dataclass(frozen=True)
class NetworkDefaults:
    """What a kind of network has unless it is told otherwise."""

    backbone: str
    num_segments: int
    dropout: float
    zero_init_last: bool
    classifier_std: float


IMAGES = NetworkDefaults("resnet50", num_segments=8, dropout=0.8, zero_init_last=True, classifier_std=0.001)
"""An image backbone with a temporal module: TIN's own, which TSN's and TSM's code share but for the dropout."""
CLIPS = NetworkDefaults("slowfast_50", num_segments=32, dropout=0.5, zero_init_last=False, classifier_std=0.01)
"""A network over space and time: SlowFast's."""


def defaults_of(temporal: object) -> NetworkDefaults:
    """The defaults of networks with that ``model.temporal``."""
    return CLIPS if temporal == SPACE_TIME else IMAGES


def left_out_model(temporal: object) -> dict[str, Any]:
    """What the keys of ``[model]`` mean that a recipe with that ``temporal`` leaves out.

    Training starts from ImageNet weights and freezes their batch statistics ("partial BN"), where there are such.
    """
    chosen = asdict(defaults_of(temporal))
    del chosen["num_segments"]
    of_images, row = temporal != SPACE_TIME, find_temporal(temporal)
    return chosen | {"shift_div": row and row.shift_div, "pretrained": of_images, "partial_bn": of_images}


def left_out_words(key: str) -> str:
    """What such a key means, for its description: ``Left out: 0.8; with ``3d`` 0.5.``"""
    images, clips = (left_out_model(temporal)[key] for temporal in (None, SPACE_TIME))
    return f"Left out: {_word(images)}; with ``{SPACE_TIME}`` {_word(clips)}."


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"``{value}``" if isinstance(value, str) else str(value)
