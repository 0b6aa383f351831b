"""Temporal pooling: the maximum over frames one by one, and the network that halves its frames."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.errors import UserError
from tinkit.models import TemporalShift, VideoClassifier
from tinkit.models.temporal.non_local import NonLocal
from tinkit.models.temporal.pool import TemporalPool, stage_segments
from tinkit.timm_import import import_timm

timm = import_timm()


def pooled(x: Tensor, segments: int) -> Tensor:
    """The definition: the largest of the frame before, this one and the next, for every second frame of a clip."""
    clips = []
    for clip in x.split(segments):
        for t in range(0, segments, 2):
            clips.append(clip[max(t - 1, 0) : t + 2].amax(0))
    return torch.stack(clips)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("segments", [2, 4, 10])
def test_every_second_frame(segments: int, layout: torch.memory_format) -> None:
    x = torch.randn(3 * segments, 5, 4, 3).contiguous(memory_format=layout) - 10  # zeros outside would be the largest
    out = TemporalPool(segments)(x)
    assert torch.equal(out, pooled(x, segments))
    assert out.is_contiguous(memory_format=layout)
    assert TemporalPool(segments)(x[:0]).shape == (0, 5, 4, 3)
    assert TemporalPool(segments)(x.bfloat16()).dtype == torch.bfloat16


def test_gradient_goes_to_the_largest() -> None:
    x = torch.randn(8, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TemporalPool(4), (x,))


def make(temporal: Any, **settings: Any) -> VideoClassifier:
    model = VideoClassifier("test_resnet", temporal, 3, 4, temporal_pool=True, **settings)
    give_named_weights(model)
    return model.eval()


@pytest.mark.parametrize("temporal", ["tsn", "tsm"])
def test_network(temporal: str) -> None:
    """Stage by stage: four frames a clip in the stem and the first, two in the others."""
    model = make(temporal)
    plain = timm.create_model("test_resnet", num_classes=0).eval()
    plain.load_state_dict(model.backbone.state_dict())
    video = named_video("pool", 2, 4, 32)
    if temporal == "tsm":
        for stage, segments in (("layer1", 4), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
            for block in getattr(plain, stage):
                shift = TemporalShift(segments, 8)
                block.conv1.register_forward_pre_hook(lambda _module, inputs, shift=shift: (shift(inputs[0]),))
    with torch.inference_mode():
        first = plain.layer1(plain.maxpool(plain.act1(plain.bn1(plain.conv1(video.flatten(0, 1))))))
        features = plain.forward_head(plain.layer4(plain.layer3(plain.layer2(pooled(first, 4)))))
        expected = model.classifier(features).unflatten(0, (2, 2)).mean(1)
        torch.testing.assert_close(model(video), expected, rtol=1e-4, atol=1e-4)
        assert model(video[:0]).shape == (0, 3)
    with torch.enable_grad():
        torch.testing.assert_close(model(video).detach(), expected, rtol=1e-4, atol=1e-4)


def test_everything_behind_it_sees_half() -> None:
    model = VideoClassifier(
        "resnet18", "tsm", 3, 8, temporal_pool=True, shift_place="blockres_double", non_local="gaussian",
        non_local_places={"layer1": [1], "layer2": [0], "layer4": [1]}, consensus="trn",
    )  # fmt: skip
    seen = {
        name: module.num_segments
        for name, module in model.named_modules()
        if isinstance(module, TemporalShift | NonLocal | TemporalPool)
    }
    assert seen.pop("backbone.layer2.temporal_pool") == 8
    assert len(seen) == 2 * 8 + 3
    assert all(segments == (8 if ".layer1." in name else 4) for name, segments in seen.items())
    assert stage_segments(8) == dict.fromkeys(("layer1", "layer2", "layer3", "layer4"), 8)
    assert model.consensus.fc1.in_features == 4 * 256
    plain = {f"backbone.{name}" for name in timm.create_model("resnet18", num_classes=0).state_dict()}
    ours = {name for name in model.state_dict() if name.startswith("backbone.") and ".non_local" not in name}
    assert ours == plain


def test_trained_compiled_exported_and_copied() -> None:
    model, video = make("tsm"), named_video("forms", 2, 4, 32)
    expected = model(video)
    torch._dynamo.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="eager")(video), expected.detach())
        torch.testing.assert_close(torch.export.export(model, (video,)).module()(video), expected.detach())
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(twin(video), expected)
    twin.train()(video).square().sum().backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in twin.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temporal": "tin"}, "temporal pooling with temporal = 'tin'"),
        ({"temporal": "rtcn"}, "temporal pooling with temporal = 'rtcn'"),
        ({"num_segments": 5}, "temporal pooling of 5 segments"),
        ({"num_segments": 1}, "temporal pooling of 1 segments"),
        ({"backbone": "test_convnext"}, r"\(ConvNeXt\) has no stage 'layer2'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoClassifier(**({"backbone": "test_resnet", "temporal": "tsm", "temporal_pool": True} | settings))
