"""Temporal modules, non-local blocks, pooling, consensus and modality in one network, as their originals had them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_tensor_normal, named_video
from tinkit.errors import UserError
from tinkit.models import TemporalInterlace, VideoClassifier, load_foreign
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.models.temporal.rtcn import RegularisedConv2d

SEGMENTS = 4
COMBINATIONS: dict[str, dict[str, Any]] = {
    "TSM + non-local (TSM repository)": {"temporal": "tsm", "non_local": "embedded_gaussian"},
    "TSM + pool + non-local": {"temporal": "tsm", "temporal_pool": True, "non_local": "dot_product"},
    "TSM in place + non-local": {"temporal": "tsm", "shift_place": "block", "non_local": "gaussian"},
    "two-convolution shift + TRN": {"temporal": "tsm", "shift_place": "blockres_double", "consensus": "trn"},
    "TRN": {"temporal": "tsn", "consensus": "trn"},
    "multi-scale TRN": {"temporal": "tsn", "consensus": "trn_multiscale", "relations_sampled": 6},
    "TIN + non-local": {"temporal": "tin", "non_local": "gaussian", "non_local_subsample": False},
    "TIN + multi-scale TRN": {"temporal": "tin", "consensus": "trn_multiscale", "relations_sampled": 6},
    "r-TCN + non-local": {"temporal": "rtcn", "non_local": "embedded_gaussian"},
    "r-TCN, every frame": {"temporal": "rtcn", "consensus": "identity"},
    "TSN + pool, every frame": {"temporal": "tsn", "temporal_pool": True, "consensus": "identity"},
}
EACH = pytest.mark.parametrize("settings", COMBINATIONS.values(), ids=COMBINATIONS.keys())


def make(**settings: Any) -> VideoClassifier:
    given: dict[str, Any] = {"backbone": "test_resnet", "num_classes": 7, "num_segments": SEGMENTS, "dropout": 0.0}
    if settings.get("non_local"):
        given["non_local_places"] = {"layer2": [0], "layer3": [0]}
    model = VideoClassifier(**(given | settings))
    give_named_weights(model)
    return model.eval()


@EACH
def test_logits(settings: dict[str, Any]) -> None:
    """Of the right shape, of each clip alone, the same with and without gradients, and blind to nothing but order."""
    model, video = make(**settings), named_video("combined", 2, SEGMENTS, 48)
    shape = (7,)
    if settings.get("consensus") == "identity":
        shape = (SEGMENTS // 2 if settings.get("temporal_pool") else SEGMENTS, 7)
    expected = model(video).detach()
    limit = 1e-4 * float(expected.abs().max())
    with torch.inference_mode():
        assert model(video).shape == (2, *shape)
        assert model(video[:0]).shape == (0, *shape)
        torch.testing.assert_close(model(video), expected, rtol=0, atol=limit)
        alone = torch.cat([model(clip[None]) for clip in video])
        torch.testing.assert_close(alone, expected, rtol=0, atol=limit)
        reversed_ = model(video.flip(1))
    if settings.get("consensus") == "identity":  # whose order of time is that of its frames
        expected, reversed_ = expected.mean(1), reversed_.mean(1)
    blind = settings["temporal"] == "tsn" and settings.get("consensus", "avg") in ("avg", "identity")
    if blind and not settings.get("temporal_pool"):
        torch.testing.assert_close(reversed_, expected, rtol=0, atol=limit)
    elif not blind:
        assert float((reversed_ - expected).abs().max()) > 10 * limit


@EACH
def test_one_step_reaches_every_parameter(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, video = make(**settings).train(), named_video("step", 2, SEGMENTS, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(video)
    assert logits.dtype == torch.float32
    model(video).square().sum().backward()
    silent = {name for name, p in model.named_parameters() if not (p.grad is not None and bool(p.grad.abs().sum() > 0))}
    assert not silent


@pytest.mark.thorough
@EACH
def test_copied_compiled_and_merged(settings: dict[str, Any]) -> None:
    torch._dynamo.reset()
    model, video = make(**settings), named_video("forms", 2, SEGMENTS, 48)
    expected = model(video).detach()
    limit = 1e-4 * float(expected.abs().max())
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        compiled = torch.compile(twin, fullgraph=True, backend="eager")(video)
        torch.testing.assert_close(compiled, expected, rtol=0, atol=limit)
    merge_batch_norm(twin)
    with torch.inference_mode():
        torch.testing.assert_close(twin(video), expected, rtol=0, atol=limit)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["TSM in place + non-local", "TIN + multi-scale TRN", "r-TCN + non-local"])
def test_exported_with_any_batch(name: str) -> None:
    model, video = make(**COMBINATIONS[name]), named_video("export", 2, SEGMENTS, 48)
    with torch.no_grad():
        exported = torch.export.export(model, (video,), dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
        three = torch.cat([video, video[:1].flip(1)])
        expected = model(three)
        torch.testing.assert_close(exported(three), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["TSM in place + non-local", "TSM + pool + non-local", "r-TCN + non-local"])
def test_gradients_with_activations_computed_twice(name: str) -> None:
    model, video = make(**COMBINATIONS[name]).train(), named_video("twice", 2, SEGMENTS, 64)
    twin = copy.deepcopy(model)
    checkpoint_blocks(twin, "test_resnet")
    for network in (model, twin):
        network(video).square().mean().backward()
    for (where, ours), theirs in zip(twin.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=where)
    for ours, theirs in zip(twin.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_rtcn_is_a_tin_that_looks_at_no_clip() -> None:
    """The same logits and the same gradients, where offsets and gains of a TIN depend on nothing."""
    rtcn, tin = make(temporal="rtcn").double(), make(temporal="tin").double()
    shared = {name: value for name, value in rtcn.state_dict().items() if ".temporal." not in name}
    tin.load_state_dict(shared, strict=False)
    for name, module in rtcn.named_modules():
        if isinstance(module, RegularisedConv2d):
            taps, steered = module.temporal, tin.get_submodule(name).temporal
            assert isinstance(steered, TemporalInterlace)
            offsets, gains = named_tensor_normal(name, (2, 2)).double()
            with torch.no_grad():
                taps.centre_logit.copy_(torch.cat([offsets, -offsets]))
                taps.gain_logit.copy_(torch.cat([gains, gains]))
                steered.offset_net.fc2.weight.zero_()
                steered.offset_net.fc2.bias.copy_(offsets)
                steered.gain_net.conv.weight.zero_()
                steered.gain_net.conv.bias.copy_(gains)
    video = named_video("equal", 2, SEGMENTS, 32).double()
    ours, theirs = rtcn(video), tin(video)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for logits in (ours, theirs):
        logits.square().sum().backward()
    gradients = dict(tin.named_parameters())
    for name, parameter in rtcn.named_parameters():
        if ".temporal." not in name:
            torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-8, atol=1e-8)
    for name, module in rtcn.named_modules():
        if isinstance(module, RegularisedConv2d):  # the TIN's two learned offsets stand for four
            moved = gradients[f"{name}.temporal.offset_net.fc2.bias"].grad
            ahead, back = module.temporal.centre_logit.grad.split(2)
            torch.testing.assert_close(moved, ahead - back, rtol=1e-6, atol=1e-8)


def test_trn_by_hand() -> None:
    """Zhou et al., equation 1 with all frames: 256 features of each, in a row, through two layers."""
    model, video = make(temporal="tsn", consensus="trn"), named_video("trn", 2, SEGMENTS, 32)
    with torch.no_grad():
        each = [model.classifier(model.backbone(video[:, t])) for t in range(SEGMENTS)]
        assert each[0].shape == (2, 256)
        hidden = model.consensus.fc1(torch.cat(each, 1).relu()).relu()
        torch.testing.assert_close(model(video), model.consensus.fc2(hidden), rtol=1e-4, atol=1e-4)


def test_identity_gives_what_the_average_is_of() -> None:
    video = named_video("identity", 2, SEGMENTS, 32)
    for training in (False, True):
        every, average = (make(temporal="tin", consensus=kind).train(training) for kind in ("identity", "avg"))
        with torch.no_grad():
            torch.testing.assert_close(every(video).mean(1), average(video))


def test_class_layers() -> None:
    layers = make(temporal="tsn").class_layers()
    assert list(layers) == ["classifier"]
    assert list(make(temporal="tsn", consensus="trn").class_layers()) == ["consensus.fc2"]
    model = make(temporal="tsn", consensus="trn_multiscale")
    assert list(model.class_layers()) == [f"consensus.scales.{scale}.fc2" for scale in range(SEGMENTS - 1)]
    assert all(model.get_submodule(name) is layer for name, layer in model.class_layers().items())
    assert all(layer.out_features == 7 for layer in model.class_layers().values())


@pytest.mark.parametrize(
    ("backbone", "modality", "temporals"),
    [
        ("test_resnet", "flow", ("tin", "tsm", "rtcn")),
        ("test_vit", "flow", ("tin", "tsm")),
        ("test_convnext", "rgb_diff", ("tin", "tsm")),
    ],
)
def test_other_modalities_with_every_module(backbone: str, modality: Any, temporals: tuple[str, ...]) -> None:
    video = named_tensor_normal("flow", (2, SEGMENTS, 4 if modality == "flow" else 6, 160, 160))
    for temporal in temporals:
        model = make(backbone=backbone, temporal=temporal, modality=modality, flow_length=2)
        with torch.inference_mode():
            assert float((model(video) - model(video.flip(1))).abs().max()) > 1e-3
        with pytest.raises(ValueError, match=rf"\(B, {SEGMENTS}, {video.shape[2]}, H, W\), got \(2, 1, "):
            model(video[:, :1])


def first_weight(model: VideoClassifier) -> Tensor:
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d)).weight.detach()


def test_pretrained_file_of_rgb_is_turned_and_one_of_flow_is_not(tmp_path: Path) -> None:
    for name, modality in (("rgb", "rgb"), ("flow", "flow")):
        torch.save(make(temporal="tin", modality=modality, flow_length=3).state_dict(), tmp_path / f"{name}.pth")
    rgb, flow = (first_weight(make(temporal="tin", modality=m, flow_length=3)) for m in ("rgb", "flow"))

    def started(name: str) -> VideoClassifier:
        return VideoClassifier(
            "test_resnet", "tin", 7, SEGMENTS, modality="flow", flow_length=3, pretrained=tmp_path / f"{name}.pth"
        )

    of_rgb, of_flow = started("rgb"), started("flow")
    torch.testing.assert_close(first_weight(of_rgb), rgb.mean(1, keepdim=True).expand(-1, 6, -1, -1))
    assert torch.equal(first_weight(of_flow), flow)
    for model in (of_rgb, of_flow):
        assert model.pretrained_report is not None
        assert (model.pretrained_report.new, model.pretrained_report.dropped) == ((), {})
    assert load_foreign(of_flow.state_dict(), of_rgb).dropped == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "test_convnext"}, r"stages\.0\.blocks\.0\.conv_dw: r-TCN before a convolution of"),
        ({"backbone": "test_vit"}, r"blocks\.0\.norm1: r-TCN in place of a LayerNorm|blocks\.0\.attn: r-TCN in place"),
        (
            {"backbone": "resnext50_32x4d", "place": "conv2"},
            r"layer1\.0\.conv2: r-TCN before a convolution of 32 group",
        ),
        ({"shift_div": 16}, r"layer1\.0\.conv1: shift_div 16 of 32 channels"),
        ({"offset_init": 2.0}, r"layer1\.0\.conv1: offset_init is 2 frames"),
        ({"consensus": "trn_multiscale", "num_segments": 32}, "trn_multiscale of 32 segments"),
        ({"consensus": "mean"}, "no consensus is called 'mean'"),
        ({"modality": "depth"}, "no modality is called 'depth'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoClassifier(**({"backbone": "test_resnet", "temporal": "rtcn"} | settings))
