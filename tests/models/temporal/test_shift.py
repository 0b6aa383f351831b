"""Where TSM's shift goes: every name's modules, what moves, and which checkpoints load."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.errors import UserError
from tinkit.models import TemporalShift, VideoClassifier, load_foreign
from tinkit.models.temporal.shift import shift_places_in
from tinkit.timm_import import import_timm

timm = import_timm()
SEGMENTS, SHIFT_DIV = 4, 8


def shifted(x: Tensor) -> Tensor:
    """The definition, frame by frame and channel by channel."""
    out = torch.zeros_like(x)
    part = x.shape[1] // SHIFT_DIV
    for row in range(len(x)):
        frame = row % SEGMENTS
        for channel in range(x.shape[1]):
            ahead = 1 if channel < part else -1 if channel < 2 * part else 0
            if 0 <= frame + ahead < SEGMENTS:
                out[row, channel] = x[row + ahead, channel]
    return out


def make(backbone: str = "test_resnet", **settings: Any) -> VideoClassifier:
    model = VideoClassifier(**({"backbone": backbone, "temporal": "tsm", "num_classes": 3, "num_segments": SEGMENTS,
                                "shift_div": SHIFT_DIV} | settings))  # fmt: skip
    give_named_weights(model)
    return model.eval()


def moved_modules(model: VideoClassifier) -> list[str]:
    """The names of the modules whose input moves."""
    owners = (name.rpartition(".")[0] for name, module in model.named_modules() if isinstance(module, TemporalShift))
    return [owner.removeprefix("backbone.") for owner in owners]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet101"])
@pytest.mark.parametrize("shift_place", ["blockres", "blockres_every", "blockres_double", "block"])
def test_modules(backbone: str, shift_place: Any) -> None:
    with torch.device("meta"):
        model = VideoClassifier(backbone, "tsm", 3, SEGMENTS, shift_place=shift_place)
        plain = timm.create_model(backbone, num_classes=0)
    blocks = [f"layer{s}.{n}" for s in range(1, 5) for n in range(len(getattr(plain, f"layer{s}")))]
    step = 2 if (backbone, shift_place) == ("resnet101", "blockres") else 1
    convs = {"block": [""], "blockres_double": [".conv1", ".conv2"]}.get(shift_place, [".conv1"])
    chosen = [name for name in blocks if int(name.rpartition(".")[2]) % step == 0]
    assert sorted(moved_modules(model)) == sorted(name + conv for name in chosen for conv in convs)
    assert list(model.state_dict()) == [
        *(f"backbone.{name}" for name in plain.state_dict()), "classifier.weight", "classifier.bias"
    ]  # fmt: skip
    assert model(torch.empty(2, SEGMENTS, 3, 64, 64, device="meta")).shape == (2, 3)


def rewired(model: VideoClassifier, shift_place: str) -> nn.Module:
    """The plain backbone with the model's weights, with the definition in front of what moves."""
    plain = timm.create_model("test_resnet", num_classes=0)
    plain.load_state_dict(model.backbone.state_dict())
    for stage in (plain.layer1, plain.layer2, plain.layer3, plain.layer4):
        for block in stage:
            moved = {"block": [block], "blockres_double": [block.conv1, block.conv2]}.get(shift_place, [block.conv1])
            for module in moved:
                module.register_forward_pre_hook(lambda _module, inputs: (shifted(inputs[0]),))
    return plain.eval()


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("shift_place", ["blockres", "blockres_every", "blockres_double", "block"])
def test_features(shift_place: Any, recorded: bool) -> None:
    """With and without gradients: without them a ResNet's blocks may run in another way."""
    model = make(shift_place=shift_place)
    video = named_video("shift", 2, SEGMENTS, 32)
    with torch.set_grad_enabled(recorded):
        features = model.backbone(video.flatten(0, 1))
        expected = rewired(model, shift_place)(video.flatten(0, 1))
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
        frames = model.classifier(features).unflatten(0, (2, SEGMENTS))
        torch.testing.assert_close(model(video), frames.mean(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shift_place", ["blockres_double", "block"])
def test_names_tell_networks_apart(shift_place: Any) -> None:
    video = named_video("apart", 1, SEGMENTS, 32)
    with torch.inference_mode():
        difference = float((make(shift_place=shift_place)(video) - make()(video)).abs().max())
    assert difference > 1e-2


@pytest.mark.parametrize("shift_place", ["blockres_double", "block"])
def test_trained_compiled_exported_and_copied(shift_place: Any) -> None:
    model, video = make(shift_place=shift_place), named_video("forms", 2, SEGMENTS, 32)
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
    ("shift_place", "wrapped"), [("blockres_every", ("conv1",)), ("blockres_double", ("conv1", "conv2"))]
)
def test_checkpoints_load_whole(shift_place: Any, wrapped: tuple[str, ...]) -> None:
    """X-Temporal wraps the first convolution of every block, the TIN repository the second, too."""
    source = make(shift_place=shift_place)
    state = {}
    for name, value in source.state_dict().items():
        theirs = name.replace("backbone.", "module.base_model.").replace("classifier.", "module.new_fc.")
        owner, _, kind = theirs.rpartition(".")
        if ".layer" in owner and owner.endswith(wrapped):
            theirs = f"{owner}.net.{kind}"
        state[theirs] = value
    model = VideoClassifier("test_resnet", "tsm", 3, SEGMENTS, SHIFT_DIV, shift_place=shift_place)
    report = load_foreign(state, model)
    assert (report.new, report.dropped) == ((), {})
    video = named_video("load", 1, SEGMENTS, 32)
    with torch.inference_mode():
        assert torch.equal(model.eval()(video), source(video))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift_place": "blockress"}, r"no place of the shift is called 'blockress'.*did you mean 'blockres"),
        ({"shift_place": "block", "temporal": "tin"}, "shift_place 'block' with temporal = 'tin'"),
        ({"shift_place": "block", "place": "conv2"}, "with temporal = 'tsm' and place = 'conv2'"),
        ({"shift_place": "block", "backbone": "test_convnext"}, "shift_place 'block' in a ConvNeXt"),
        (
            {"shift_place": "blockres_double", "backbone": "res2net50_14w_8s"},
            r"'layer\[1-4\].\*.conv2' names no module",
        ),
        ({"shift_place": "block", "shift_div": 100}, r"layer1\.0: shift_div 100 of 32 channels"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoClassifier(**({"backbone": "test_resnet", "temporal": "tsm"} | settings))


def test_every_family_has_the_default() -> None:
    for backbone in ("test_convnext", "test_vit", "mobilenetv2_035"):
        with torch.device("meta"):
            assert shift_places_in(timm.create_model(backbone, num_classes=0), backbone)
