"""Which modules a temporal module precedes, by family and by hand, and how tokens and channels-last features move."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.errors import UserError
from tinkit.models import TemporalInterlace, TemporalShift, VideoClassifier
from tinkit.models.backbones.families import family_of
from tinkit.models.backbones.feature_layout import FeatureLayout
from tinkit.models.backbones.places import Place, places_in
from tinkit.ops.layout import as_dense
from tinkit.timm_import import import_timm

timm = import_timm()


def places(backbone: str, place: str | None = None, **settings: Any) -> list[Place]:
    with torch.device("meta"):
        return places_in(timm.create_model(backbone, num_classes=0), backbone, place, **settings)


@pytest.mark.parametrize(
    ("backbone", "count", "first", "last"),
    [
        ("resnet50", 16, ("layer1.0.conv1", 64, "NCHW", 0), ("layer4.2.conv1", 2048, "NCHW", 0)),
        ("wide_resnet50_2", 16, ("layer1.0.conv1", 64, "NCHW", 0), ("layer4.2.conv1", 2048, "NCHW", 0)),
        ("resnetv2_50d", 16, ("stages.0.blocks.0.conv1", 64, "NCHW", 0), ("stages.3.blocks.2.conv1", 2048, "NCHW", 0)),
        ("regnetv_040", 22, ("s1.b1.conv1", 32, "NCHW", 0), ("s4.b2.conv1", 1088, "NCHW", 0)),
        ("regnety_004", 16, ("s1.b1.conv1.conv", 32, "NCHW", 0), ("s4.b6.conv1.conv", 440, "NCHW", 0)),
        ("efficientnet_b0", 9, ("blocks.1.1.conv_pw", 24, "NCHW", 0), ("blocks.5.3.conv_pw", 192, "NCHW", 0)),
        ("efficientnet_b1", 16, ("blocks.0.1.conv_pw", 16, "NCHW", 0), ("blocks.6.1.conv_pw", 320, "NCHW", 0)),
        ("tf_efficientnetv2_s", 35, ("blocks.0.0.conv", 24, "NCHW", 0), ("blocks.5.14.conv_pw", 256, "NCHW", 0)),
        ("mobilenetv4_conv_small", 10, ("blocks.2.1.pw_exp.conv", 96, "NCHW", 0),
         ("blocks.3.5.pw_exp.conv", 128, "NCHW", 0)),
        ("convnext_tiny", 18, ("stages.0.blocks.0.conv_dw", 96, "NCHW", 0),
         ("stages.3.blocks.2.conv_dw", 768, "NCHW", 0)),
        ("densenet121", 58, ("features.denseblock1.denselayer1.conv1", 64, "NCHW", 0),
         ("features.denseblock4.denselayer16.conv1", 992, "NCHW", 0)),
        ("vit_small_patch16_224", 12, ("blocks.0.attn", 384, "NLC", 1), ("blocks.11.attn", 384, "NLC", 1)),
        ("vit_small_patch14_reg4_dinov2", 12, ("blocks.0.attn", 384, "NLC", 5), ("blocks.11.attn", 384, "NLC", 5)),
        ("vit_pwee_patch16_reg1_gap_256", 16, ("blocks.0.in_norm", 256, "NLC", 1),
         ("blocks.15.in_norm", 256, "NLC", 1)),
        ("deit_small_distilled_patch16_224", 12, ("blocks.0.attn", 384, "NLC", 2), ("blocks.11.attn", 384, "NLC", 2)),
        ("swin_tiny_patch4_window7_224", 12, ("layers.0.blocks.0.norm1", 96, "NHWC", 0),
         ("layers.3.blocks.1.norm1", 768, "NHWC", 0)),
        ("swinv2_tiny_window8_256", 12, ("layers.0.blocks.0.mlp", 96, "NLC", 0),
         ("layers.3.blocks.1.mlp", 768, "NLC", 0)),
        ("caformer_s18", 18, ("stages.0.blocks.0.token_mixer", 64, "NCHW", 0),
         ("stages.3.blocks.2.token_mixer", 512, "NLC", 0)),
    ],
)  # fmt: skip
def test_published_sizes(backbone: str, count: int, first: tuple[Any, ...], last: tuple[Any, ...]) -> None:
    found = [(p.name, p.channels, p.layout.format, p.layout.prefix) for p in places(backbone)]
    assert (len(found), found[0], found[-1]) == (count, first, last)


def test_mobilenet_v2_as_the_repository_of_tsm_has_it() -> None:
    """Its rule: blocks that widen and have a shortcut; ten of seventeen."""
    found = {place.name for place in places("mobilenetv2_100")}
    with torch.device("meta"):
        blocks = timm.create_model("mobilenetv2_100").blocks
    wanted = {
        f"blocks.{i}.{j}.conv_pw"
        for i, stage in enumerate(blocks)
        for j, block in enumerate(stage)
        if type(block).__name__ == "InvertedResidual" and block.conv_pwl.out_channels == block.conv_pw.in_channels
        and block.conv_dw.stride == (1, 1)
    }  # fmt: skip
    assert found == wanted
    assert len(found) == 10


def test_every_second_block_is_for_deep_resnets_only() -> None:
    assert len(places("resnet101", alternate=True)) == 2 + 2 + 12 + 2
    assert len(places("resnet50", alternate=True)) == 16
    assert len(places("convnext_small", alternate=True)) == 36


@pytest.mark.parametrize(
    ("backbone", "place", "count", "format", "channels"),
    [
        ("hrnet_w18_small", "stage4.0.branches.0.*.conv1", 2, "NCHW", 16),  # of no family in the table
        ("test_mambaout", "stages.*.blocks.*.norm", 6, "NHWC", 16),
        ("test_convnext", "stages.*.blocks.*.mlp", 9, "NHWC", 24),
        ("test_vit", "blocks.*.mlp.fc1", 6, "NLC", 64),
        ("test_resnet", "layer[12].*.conv2", 2, "NCHW", 32),
    ],
)
def test_by_hand(backbone: str, place: str, count: int, format: str, channels: int) -> None:  # noqa: A002
    found = places(backbone, place)
    assert (len(found), found[0].layout.format, found[0].channels) == (count, format, channels)
    model = VideoClassifier(backbone, "tin", 3, 4, place=place).eval()
    give_named_weights(model)
    assert len(model.steering_modules()) == count
    model(named_video("by hand", 1, 4, 160 if "vit" in backbone else 64))


@pytest.mark.parametrize(
    ("backbone", "place", "message"),
    [
        ("hrnet_w18_small", None,
         r"timm's module hrnet\) is not of a supported family(.|\n)*place = 'blocks\.\*\.attn'"),
        ("hrnet_w18_small", "conv1", "not of a supported family"),
        ("test_vit", "blocks.*.atn", r"names no module of the backbone; did you mean 'blocks\.\d\.attn'"),
        ("test_vit", "block*.attn", "names no module"),
        ("test_vit", "atn", r"blocks\.0 \(Block\) has no place that is called 'atn'; did you mean 'attn'"),
        ("swin_tiny_patch4_window7_224", "layers.*.blocks.*.attn",
         r"layers\.0\.blocks\.0\.attn is given \(128, 49, 96\) for 2 images"),
        ("test_vit", "head_drop", "no place that is called"),
        ("test_vit", "blocks*", "a Sequential, which holds other modules"),
        ("test_vit", "fc_n*", r"fc_norm is given \(2, 64\) for 2 images"),
        ("test_vit", "blocks.*.attn.attn_dr*", r"attn_drop is called 0 times"),
        ("test_efficientnet", None, "no block of this EfficientNet, MobileNet has a shortcut"),
        ("mixnet_s", None, r"blocks\.1\.1\.conv_pw is a MixedConv2d, which holds other modules"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_place(backbone: str, place: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        places(backbone, place)


def test_narrow_layers_are_named() -> None:
    with pytest.raises(UserError, match=r"blocks\.1\.1\.conv_pw: shift_div 4 of 8 channels") as caught:
        VideoClassifier("mobilenetv2_035", "tin")
    assert caught.value.expected == "shift_div from 1 to 2"
    model = VideoClassifier("mobilenetv2_050", "tin", shift_div=3)
    assert next(module.fold for module in model.steering_modules().values()) == 4  # of 16 channels, a third is 5


def test_a_frame_model_needs_no_place_and_finding_places_changes_nothing() -> None:
    assert VideoClassifier("hrnet_w18_small", "tsn", 3, 4).steering_modules() == {}
    assert family_of("convnextv2_nano.fcmae_ft_in1k").name == "ConvNeXt"  # timm's tags of weights are no part of it
    plain = timm.create_model("test_vit", num_classes=0)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    assert len(places_in(plain, "test_vit")) == 6
    assert plain.training
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert not any(module._forward_pre_hooks for module in plain.modules())


LAYOUTS = [
    (FeatureLayout("NHWC"), (8, 3, 5, 16)),
    (FeatureLayout("NLC"), (8, 7, 16)),
    (FeatureLayout("NLC", 2), (8, 7, 16)),
]


def obvious(module: nn.Module, x: Tensor, layout: FeatureLayout) -> Tensor:
    """The same move of a contiguous copy whose channels come first, the prefix cut off before and joined after."""
    prefix, moving = x[:, : layout.prefix], x[:, layout.prefix :]
    first = moving.movedim(-1, 1).reshape(x.shape[0], x.shape[-1], -1, 1).contiguous()
    return torch.cat([prefix, module(first).flatten(2).mT.reshape(moving.shape)], 1)


@pytest.mark.parametrize("kind", ["tin", "tsm"])
@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
def test_other_layouts_move_as_channels_first_do(layout: FeatureLayout, shape: tuple[int, ...], kind: str) -> None:
    def make(where: FeatureLayout) -> nn.Module:
        return TemporalInterlace(16, 4, 2, layout=where) if kind == "tin" else TemporalShift(4, 4, where)

    module, plain = make(layout), make(FeatureLayout())
    give_named_weights(module)
    plain.load_state_dict(module.state_dict())
    x = torch.randn(shape)
    weights = torch.randn(shape)
    results = []
    for run, owner in ((module, module), (lambda x: obvious(plain, x, layout), plain)):
        leaf = x.clone().requires_grad_()
        out = run(leaf)
        results.append([out.detach(), *torch.autograd.grad((out * weights).sum(), [leaf, *owner.parameters()])])
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)
    assert results[0][0].stride() == x.stride()
    assert torch.equal(results[0][0][:, : layout.prefix], x[:, : layout.prefix])
    assert not torch.equal(results[0][0], x)


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
def test_views_copy_nothing(layout: FeatureLayout, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    view = layout.view(x)
    assert as_dense(view).data_ptr() == x.data_ptr()  # what the operators read is this memory
    assert view.shape == (8, 16, *(shape[1:3] if len(shape) == 4 else (shape[1], 1)))
    moved = view.clone()
    assert layout.back(moved, x).data_ptr() == moved.data_ptr()
    assert torch.equal(layout.back(moved, x), x)
