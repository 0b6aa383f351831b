"""The classifier of clips: what it depends on, how it is built, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.errors import UserError
from tinkit.models import (
    TemporalConv2d,
    TemporalInterlace,
    VideoClassifier,
    data_config,
    freeze_partial_bn,
    record_steering,
)
from tinkit.timm_import import import_timm

timm = import_timm()


def small(temporal: Any = "tin", **settings: Any) -> VideoClassifier:
    settings = {"temporal": temporal, "num_classes": 7, "num_segments": 4, "backbone": "test_resnet"} | settings
    model = VideoClassifier(**settings)
    give_named_weights(model)
    return model.eval()


@pytest.mark.parametrize(("temporal", "changes"), [("tin", True), ("tsm", True), ("tsn", False)])
def test_only_temporal_models_see_the_order_of_time(temporal: str, changes: bool) -> None:
    model = small(temporal)
    video = named_video("order", 2, 4, 48)
    with torch.inference_mode():
        difference = float((model(video) - model(video.flip(1))).abs().max())
    assert (difference > 1e-2) if changes else (difference < 1e-5)


@pytest.mark.parametrize("temporal", ["tin", "tsm", "tsn"])
def test_clips_do_not_see_each_other(temporal: str) -> None:
    model = small(temporal)
    video = named_video("clips", 3, 4, 48)
    with torch.inference_mode():
        together = model(video)
        alone = torch.cat([model(clip[None]) for clip in video])
        assert model(video[:0]).shape == (0, 7)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_logits_are_averaged_over_frames() -> None:
    model = small("tsn")
    video = named_video("consensus", 2, 4, 48)
    with torch.inference_mode():
        frames = torch.stack([model.classifier(model.backbone(video[:, t])) for t in range(4)])
        torch.testing.assert_close(model(video), frames.mean(0), rtol=1e-4, atol=1e-5)


def test_one_step_gives_every_steering_parameter_a_gradient() -> None:
    model = small().train()
    nn.functional.cross_entropy(model(named_video("step", 2, 4, 48)), torch.tensor([1, 5])).backward()
    steering = [parameter for module in model.steering_modules().values() for parameter in module.parameters()]
    assert len(steering) == 4 * 8
    silent = {
        name
        for name, p in model.named_parameters()
        if p.grad is None or not bool(p.grad.isfinite().all()) or not bool(p.grad.abs().sum() > 0)
    }
    assert silent == set()


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "resnet50d", "resnext50_32x4d", "wide_resnet50_2", "seresnet50", "resnet10t", "resnetblur50"],
)
@pytest.mark.parametrize("temporal", ["tin", "tsm"])
def test_every_block_of_any_resnet(backbone: str, temporal: Any) -> None:
    with torch.device("meta"):
        model = VideoClassifier(backbone, temporal, num_classes=3, num_segments=5)
        plain = timm.create_model(backbone, num_classes=0)
    spots = [name for name, module in model.named_modules() if isinstance(module, TemporalConv2d)]
    blocks = [f"backbone.{stage}.{i}.conv1" for stage in ("layer1", "layer2", "layer3", "layer4")
              for i in range(len(getattr(plain, stage)))]  # fmt: skip
    assert spots == blocks
    own = {name for name in model.state_dict() if ".temporal." not in name}
    assert own == {f"backbone.{name}" for name in plain.state_dict()} | {"classifier.weight", "classifier.bias"}
    assert model(torch.empty(2, 5, 3, 64, 64, device="meta")).shape == (2, 3)


@pytest.mark.parametrize(("temporal", "step"), [("tin", 1), ("tsm", 2)])
def test_shift_goes_into_every_second_block_of_resnet101(temporal: Any, step: int) -> None:
    with torch.device("meta"):
        model = VideoClassifier("resnet101", temporal)
    spots = [name for name, module in model.named_modules() if isinstance(module, TemporalConv2d)]
    depths = {"layer1": 3, "layer2": 4, "layer3": 23, "layer4": 3}
    assert spots == [f"backbone.{s}.{i}.conv1" for s, depth in depths.items() for i in range(0, depth, step)]


def test_another_place() -> None:
    model = small(place="conv2")
    assert all(".conv2.temporal" in name for name in model.steering_modules())
    with pytest.raises(UserError, match=r"conv7.*did you mean 'conv"):
        small(place="conv7")


def test_any_number_of_segments_and_classes() -> None:
    for segments, classes in ((1, 1), (3, 2), (16, 313)):
        model = small(num_segments=segments, num_classes=classes)
        assert model(named_video("any", 1, segments, 32)).shape == (1, classes)


def test_classifier_starts_small_and_dropout_is_kept() -> None:
    torch.manual_seed(0)
    model = VideoClassifier("resnet50", "tsn", num_classes=313, dropout=0.3)
    assert float(model.classifier.weight.detach().std()) == pytest.approx(0.001, rel=0.02)
    assert float(model.classifier.bias.detach().abs().max()) == 0
    assert model.dropout.p == 0.3


def test_recorded_offsets_are_those_of_the_blocks() -> None:
    model = small(offset_init=1.0)
    with torch.inference_mode(), record_steering(model) as record:
        model(named_video("record", 2, 4, 48))
    assert list(record) == list(model.steering_modules())
    assert all(isinstance(module, TemporalInterlace) for module in model.steering_modules().values())
    assert all((len(e), tuple(e[0][0].shape), tuple(e[0][1].shape)) == (1, (2, 4), (2, 4, 4)) for e in record.values())


def test_autocast_gives_float32_logits() -> None:
    model, video = small(), named_video("autocast", 2, 4, 48)
    with torch.inference_mode():
        plain = model(video)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(video)
    assert logits.dtype == torch.float32
    assert float((logits - plain).abs().max() / plain.abs().max()) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("temporal", ["tin", "tsm", "tsn"])
def test_compiles_as_one_graph(temporal: str) -> None:
    torch._dynamo.reset()
    model, video = small(temporal).train(), named_video("compile", 2, 4, 32)
    model.dropout.p = 0.0
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    outcomes = []
    for run in (compiled, model):
        model.zero_grad()
        logits = run(video)
        logits.square().mean().backward()
        outcomes.append([logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for ours, eager in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-4)


def test_partial_bn_freezes_all_but_the_first() -> None:
    model = small().train()
    freeze_partial_bn(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [True] + [False] * (len(norms) - 1)
    assert [norm.weight.requires_grad for norm in norms] == [True] + [False] * (len(norms) - 1)
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    model(named_video("bn", 2, 4, 48))
    moved = [
        not torch.equal(b, n.running_mean) for b, n in zip(before, norms, strict=True) if n.running_mean is not None
    ]
    assert moved == [True] + [False] * (len(norms) - 1)


def test_data_config_is_the_backbones() -> None:
    with torch.device("meta"):
        model = VideoClassifier("resnet50", "tsn")
    assert data_config(model) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_pretrained_file(tmp_path: Path) -> None:
    plain = timm.create_model("test_resnet", num_classes=10)
    give_named_weights(plain)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    model = VideoClassifier("test_resnet", "tin", num_classes=7, num_segments=4, pretrained=tmp_path / "weights.pth")
    report = model.pretrained_report
    assert report is not None
    assert report.dropped == dict.fromkeys(("fc.weight", "fc.bias"), "a classifier of 10 classes, and the model has 7")
    assert torch.equal(model.state_dict()["backbone.layer3.0.conv1.weight"], plain.layer3[0].conv1.weight)
    with pytest.raises(UserError, match="no such file"):
        VideoClassifier("test_resnet", pretrained=str(tmp_path / "none.pth"))


def test_pretrained_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: Any, **_settings: Any) -> None:
        raise OSError("the hub cannot be reached\nand more")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", unreachable)
    with pytest.raises(UserError, match="could not be fetched: the hub cannot be reached") as caught:
        VideoClassifier("resnet18", pretrained=True)
    assert "local file" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet5O"}, r"'resnet5O' is not a model that timm knows.*did you mean 'resnet5"),
        ({"backbone": "hrnet_w18_small"}, "not of a supported family"),
        ({"temporal": "tinn"}, r"'tinn'.*did you mean 'tin'"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"num_segments": 0}, "num_segments is 0"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"shift_div": 16}, r"layer1\.0\.conv1: shift_div 16 of 32 channels"),
        ({"temporal": "tsm", "shift_div": 64}, r"layer1\.0\.conv1: shift_div 64 of 32 channels"),
        ({"temporal": "tsm", "shift_div": 1}, "shift_div is 1"),
        ({"offset_init": -2}, "offset_init is -2"),
        ({"backbone_kwargs": {"drop_pth": 0.1}}, "'test_resnet' does not take its backbone_kwargs: .*drop_pth"),
        (
            {"backbone_kwargs": {"drop_pth": 0.1}, "zero_init_last": False},
            "does not take its backbone_kwargs: .*drop_pth",
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoClassifier(**({"backbone": "test_resnet"} | settings))


def test_clips_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 4, 3, H, W\), got \(2, 5, 3, 32, 32\)"):
        small()(torch.zeros(2, 5, 3, 32, 32))
