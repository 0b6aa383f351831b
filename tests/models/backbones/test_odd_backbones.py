"""Backbones that are made unusually, and places that mislead: the right axis moves, or an error says why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tinkit.errors import UserError
from tinkit.models import VideoClassifier
from tinkit.models.backbones.places import places_in
from tinkit.models.modality import first_convolution
from tinkit.timm_import import import_timm


def shifted(x: Tensor, frames: int, fold: int) -> Tensor:
    """TSM's shift of the last axis of (B*T, ..., C), by slices."""
    clips = x.unflatten(0, (-1, frames))
    out = clips.clone()
    out[..., :fold] = 0
    out[:, :-1, ..., :fold] = clips[:, 1:, ..., :fold]
    out[..., fold : 2 * fold] = 0
    out[:, 1:, ..., fold : 2 * fold] = clips[:, :-1, ..., fold : 2 * fold]
    return out.flatten(0, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(224, 384), (192, 384), (224, 224)])
def test_swin_moves_channels_whatever_the_image(size: tuple[int, int]) -> None:
    """At 384 pixels the first stage is as wide as it has channels."""
    name = "swin_tiny_patch4_window7_224"
    model = VideoClassifier(name, "tsm", 5, 2, backbone_kwargs={"img_size": size}).eval()
    plain = import_timm().create_model(name, num_classes=0, img_size=size).eval()
    plain.load_state_dict(model.backbone.state_dict())
    for stage in plain.layers:
        for block in stage.blocks:
            block.norm1.register_forward_pre_hook(
                lambda module, inputs: shifted(inputs[0], 2, module.normalized_shape[0] // model.shift_div)
            )
    video = torch.randn(1, 2, 3, *size)
    with torch.inference_mode():
        wanted = model.classifier(plain(video.flatten(0, 1))).unflatten(0, (1, 2)).mean(1)
        torch.testing.assert_close(model(video), wanted, rtol=1e-3, atol=1e-5)


def test_features_in_blocks_of_the_image_move_by_channels() -> None:
    model = VideoClassifier("nest_tiny", "tsm", 5, 2, place="levels.0.transformer_encoder.*.attn")
    assert model.backbone.levels[0].transformer_encoder[0].attn.temporal.layout.format == "NHWC"  # type: ignore


def test_looking_at_a_backbone_leaves_its_weights_alone() -> None:
    """CoaT has modules that go by two names."""
    backbone = import_timm().create_model("coat_tiny", num_classes=0)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(UserError, match="3137 tokens, of which 1"):
        places_in(backbone, "coat_tiny", "serial_blocks1.*.norm1")
    assert not any(parameter.is_meta for parameter in backbone.parameters())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert not any(module._forward_pre_hooks for module in backbone.modules())


@pytest.mark.parametrize("name", ["maxvit_tiny_rw_224", "coatnet_0_rw_224"])
def test_the_size_that_a_backbone_was_made_for(name: str) -> None:
    place = "stages.0.blocks.*.conv.conv1_1x1" if "maxvit" in name else "stages.0.blocks.*.conv1_1x1"
    size = 224 if "maxvit" in name else 128
    kwargs = {"img_size": size}
    with torch.device("meta"):
        model = VideoClassifier(name, "tsm", 5, 2, place=place, backbone_kwargs=kwargs)
        assert model(torch.empty(1, 2, 3, size, size)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("mixer_s16_224", {"place": "blocks.*.mlp_tokens"}, "with the 196 patches last"),
        ("pit_ti_224", {"place": "transformers.*.blocks.*.attn"}, "730 tokens, of which 1 seem to be of the class"),
        ("resnet18", {"backbone_kwargs": {"global_pool": "foo"}}, "does not take its backbone_kwargs"),
        ("resnet18", {"backbone_kwargs": {"output_stride": 3}}, "does not take its backbone_kwargs"),
        ("resnet18", {"backbone_kwargs": {"features_only": True}}, "features_only = True"),
        ("vit_tiny_patch16_224", {"backbone_kwargs": {"global_pool": ""}}, "global_pool = ''"),
        ("vit_tiny_patch16_224", {"backbone_kwargs": {"in_chans": 4}}, "does not take RGB images"),
        ("resnet18.nosuch_tag", {}, "timm does not make"),
        ("resnet18", {"place": ""}, "place is empty"),
    ],
)
def test_what_cannot_be_made_is_said(name: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        VideoClassifier(name, "tsm", 5, 2, **settings)


def test_a_normalised_first_convolution_of_flow_is_scaled_as_timms() -> None:
    model = VideoClassifier("nfnet_f0", "tsn", 5, 2, modality="flow")
    ours: Any = first_convolution(model.backbone)[1]
    theirs: Any = first_convolution(import_timm().create_model("nfnet_f0", in_chans=10))[1]
    assert ours.scale == pytest.approx(theirs.scale)


def test_only_our_dropout_is_before_the_classifier() -> None:
    model = VideoClassifier("legacy_seresnet18", "tin", 5, 2, dropout=0.0).train()
    video = torch.randn(2, 2, 3, 64, 64)
    assert torch.equal(model(video), model(video))
