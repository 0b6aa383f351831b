"""Small models of every family of backbones, for the tests that try them all."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.models import VideoClassifier

SEGMENTS, CLASSES = 4, 5


class Case(NamedTuple):
    """A small model of a family, the size of its frames, and how many modules a TIN precedes in it."""

    backbone: str
    places: int
    size: int = 32
    kwargs: dict[str, Any] = {}  # noqa: RUF012  # never changed


TINY_VIT = {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3}
TINY_SWIN = {
    "img_size": 64,
    "window_size": 4,
    "depths": (2, 2),
    "embed_dim": 32,
    "num_heads": (1, 2),
    "drop_path_rate": 0,
}
CASES = (
    Case("test_resnet", 4, 48),
    Case("seresnext26d_32x4d", 4, 32, {"layers": (1, 1, 1, 1)}),
    Case("ecaresnet26t", 4, 32, {"layers": (1, 1, 1, 1)}),
    Case("res2net50_14w_8s", 4, 32, {"layers": (1, 1, 1, 1)}),
    Case("resnest14d", 4),
    Case("skresnet18", 4, 48, {"layers": (1, 1, 1, 1)}),
    Case("legacy_seresnet18", 4, 32, {"layers": (1, 1, 1, 1)}),
    Case("resnetv2_18", 4, 32, {"layers": (1, 1, 1, 1), "channels": (16, 32, 32, 64)}),
    Case("test_nfnet", 4),
    Case("regnetx_002", 13),
    Case("regnety_002", 13),
    Case("mobilenetv2_050", 10),
    Case("mobilenetv3_small_050", 7, 64),
    Case("mobilenetv4_conv_small_035", 10, 64),
    Case("tf_efficientnet_lite0", 9),
    Case("test_convnext", 9),
    Case("convnextv2_atto", 4, 32, {"depths": (1, 1, 1, 1), "dims": (16, 32, 32, 64)}),
    Case("densenet121", 8, 32, {"block_config": (2, 2, 2, 2), "growth_rate": 8}),
    Case("test_vit", 6, 64, {"img_size": 64}),
    Case("vit_relpos_small_patch16_224", 2, 64, TINY_VIT),
    Case("deit_tiny_distilled_patch16_224", 2, 64, TINY_VIT),
    Case("beit_base_patch16_224", 2, 64, TINY_VIT),
    Case("eva02_tiny_patch14_224", 2, 56, TINY_VIT | {"img_size": 56}),
    Case("swin_tiny_patch4_window7_224", 4, 64, TINY_SWIN),
    Case("swinv2_tiny_window8_256", 4, 64, TINY_SWIN),
    Case("poolformer_s12", 12, 64),
)
BY_NAME = {case.backbone: case for case in CASES}
each_family = pytest.mark.parametrize("case", CASES, ids=BY_NAME)


def small(case: Case, temporal: Any = "tin", **settings: Any) -> VideoClassifier:
    model = VideoClassifier(
        case.backbone, temporal, CLASSES, SEGMENTS, dropout=0, backbone_kwargs=case.kwargs, **settings
    )
    give_named_weights(model)
    return model.eval()


def clips(case: Case, count: int = 2) -> torch.Tensor:
    return named_video(case.backbone, count, SEGMENTS, case.size)
