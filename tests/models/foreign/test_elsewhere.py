"""Checkpoints of networks that are not known here are called by their name; classifiers are found under other names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights
from tinkit.errors import UserError
from tinkit.models import Video3D, VideoClassifier, load_foreign

SMALL = {"layers": (1, 1, 1, 1), "channels": (16, 16, 32, 32)}


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def slow(frames: int) -> dict[str, Tensor]:
    """The first names of a 3D ResNet of mmaction2, whose first convolution looks at so many frames."""
    return {
        "backbone.conv1.conv.weight": ones(4, 3, frames, 7, 7),
        "backbone.layer1.0.conv1.conv.weight": ones(4, 4, 1, 1, 1),
        "backbone.layer1.0.conv1.bn.weight": ones(4),
        "cls_head.fc_cls.weight": ones(5, 4),
    }


ELSEWHERE = {
    "mmaction2's SlowOnly, a 3D network": slow(1),
    "mmaction2's I3D, a 3D network": slow(5),
    "mmaction2's CSN, a 3D network": slow(3) | {"backbone.layer1.0.conv2.conv.0.weight": ones(4, 1, 3, 3, 3)},
    "mmaction2's X3D, a 3D network": slow(1) | {"backbone.conv1_s.conv.weight": ones(4, 3, 1, 3, 3)},
    "mmaction2's C3D, a 3D network": {
        "backbone.conv1a.conv.weight": ones(4, 3, 3, 3, 3),
        "backbone.fc6.weight": ones(4, 4),
    },
    r"mmaction2's R\(2\+1\)D, a 3D network": {
        "backbone.conv1.conv.conv_s.weight": ones(4, 3, 1, 7, 7),
        "backbone.layer1.0.conv1.conv.conv_s.weight": ones(4, 4, 1, 3, 3),
    },
    "TimeSformer, a video transformer": {
        "backbone.time_embed": ones(1, 8, 4),
        "backbone.patch_embed.projection.weight": ones(4, 3, 16, 16),
        "backbone.transformer_layers.layers.0.attentions.0.attn.in_proj_weight": ones(12, 4),
    },
    "VideoMAE, a video transformer": {
        "backbone.patch_embed.projection.weight": ones(4, 3, 2, 16, 16),
        "backbone.blocks.0.attn.q_bias": ones(4),
        "backbone.blocks.0.attn.qkv.weight": ones(12, 4),
    },
    "Video Swin, a video transformer": {
        "backbone.patch_embed.proj.weight": ones(4, 3, 2, 4, 4),
        "backbone.layers.0.blocks.0.attn.relative_position_bias_table": ones(9, 4),
        "backbone.layers.0.blocks.0.attn.qkv.weight": ones(12, 4),
    },
    "PySlowFast's SlowOnly, a 3D network": {
        "s1.pathway0_stem.conv.weight": ones(4, 3, 1, 7, 7),
        "s2.pathway0_res0.branch2.a.weight": ones(4, 3, 1, 1, 1),
    },
    "of a 3D network": {"some.conv.weight": ones(4, 3, 3, 3, 3)},
    "of a video transformer": {"tubelets.weight": ones(4, 3, 2, 4, 4), "encoder.0.self_attention.weight": ones(4, 4)},
}


@pytest.fixture(scope="module")
def models() -> list[nn.Module]:
    with torch.device("meta"):
        return [
            Video3D("slowfast_50", 5, 32, variant="mmaction2"),
            Video3D("r3d_10", 5, 16),
            VideoClassifier("resnet18", "tsn", 5, 4),
        ]


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_network_of_clips_is_called_by_its_name(models: list[nn.Module], name: str, prefix: str) -> None:
    state = {prefix + key: value for key, value in ELSEWHERE[name].items()}
    for model in models:
        with pytest.raises(UserError, match=rf"{name} that is not known here"):
            load_foreign(state, model)  # type: ignore[arg-type]


def test_images_are_still_images(models: list[nn.Module]) -> None:
    image = {"layer1.0.conv1.weight": ones(4, 4, 1, 1), "fc.weight": ones(5, 4)}
    with pytest.raises(UserError, match="an image network, in the layout resnet"):
        load_foreign(image, models[1])  # type: ignore[arg-type]


def test_the_classifier_of_the_challenge_owner() -> None:
    made = {"x": Video3D("r3d_10", 5, 16), "y": Video3D("r3d_10", 5, 16)}
    give_named_weights(made["x"])
    state = made["x"].state_dict()
    theirs = {
        "module." + name.removeprefix("backbone.").replace("classifier.", "last_linear."): value
        for name, value in state.items()
    }
    assert "module.last_linear.bias" in theirs
    report = load_foreign(theirs, made["y"], replace_head=False)
    assert (report.layout, report.new, report.dropped) == ("x_temporal", (), {})
    assert all(torch.equal(value, state[name]) for name, value in made["y"].state_dict().items())


def test_the_same_of_an_image_network() -> None:
    model, again = (VideoClassifier("resnet18", "tsn", 5, 4, backbone_kwargs=SMALL) for _ in range(2))
    give_named_weights(model)
    state = model.state_dict()
    theirs = {
        name.removeprefix("backbone.").replace("classifier.", "last_linear."): value for name, value in state.items()
    }
    assert load_foreign(theirs, again, replace_head=False).dropped == {}
    assert torch.equal(again.classifier.weight, state["classifier.weight"])  # type: ignore[arg-type, union-attr]


def test_mmaction2_puts_its_classifier_behind_any_backbone() -> None:
    model, again = (VideoClassifier("densenet121", "tsn", 5, 4) for _ in range(2))
    give_named_weights(model)
    state = model.state_dict()
    theirs = {name.replace("classifier.", "cls_head.fc_cls."): value for name, value in state.items()}
    assert "backbone.features.conv0.weight" in theirs
    report = load_foreign(theirs, again, replace_head=False)
    assert (report.layout, report.new, report.dropped) == ("mmaction2", (), {})
    assert torch.equal(again.classifier.weight, state["classifier.weight"])  # type: ignore[arg-type, union-attr]
