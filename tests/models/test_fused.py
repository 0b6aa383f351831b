"""Fused convolutions give what the backbone itself gives, whatever was done to weights before, and see who looks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.faults.network_truth import difference, network, plain
from benchmarks.faults.network_truth import video as clips
from tinkit.models import VideoClassifier
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.models.temporal.interlace import record_steering
from tinkit.ops import native
from tinkit.ops.post_ops import why_not

pytestmark = pytest.mark.skipif(
    not native.load() or why_not(torch.float32) is not None, reason="needs native kernels and PyTorch's operators"
)
CLOSE = 2e-5
CONVOLUTIONS = 20  # of a ResNet-18


def truth(model: VideoClassifier, clip: Tensor) -> Tensor:
    """The logits by modules alone."""
    by_modules = plain(model)
    with torch.enable_grad():
        return by_modules(clip).detach()


@torch.no_grad()
def logits(model: VideoClassifier, clip: Tensor) -> Tensor:
    return model(clip)


@pytest.fixture(scope="module")
def seen() -> VideoClassifier:
    """A TIN that has run, and so has weights that were made ready."""
    model = network()
    logits(model, clips())
    assert len(model._fused) == CONVOLUTIONS
    return model


def copy_of(model: VideoClassifier) -> VideoClassifier:
    """A copy that has run, too."""
    model = copy.deepcopy(model)
    logits(model, clips())
    return model


ALL = [
    *(("resnet18", temporal) for temporal in ("tin", "tsm", "tsn", "rtcn")),
    *(("test_resnet", "tin"), ("mobilenetv2_050", "tin"), ("regnetx_002", "tsm")),
    *(
        pytest.param(backbone, temporal, marks=pytest.mark.thorough)
        for backbone in (
            *("resnet26", "resnet26d", "seresnext26d_32x4d", "ecaresnet26t", "resnetblur18", "res2net50_26w_4s"),
            *("mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_b0", "tf_efficientnet_lite0", "regnety_004"),
            *("densenet121", "resnetv2_50", "skresnet18"),
        )
        for temporal in ("tin", "tsm", "tsn")
    ),
]


@pytest.mark.parametrize(("backbone", "temporal"), ALL)
def test_logits_are_those_of_the_backbone(backbone: str, temporal: str) -> None:
    model = network(backbone, temporal)
    clip, given = clips(), clips()
    wanted = truth(model, clip)
    found = logits(model, clip)
    assert difference(found, wanted) <= CLOSE
    assert torch.equal(logits(model, clip), found)
    assert torch.equal(clip, given)
    merge_batch_norm(model)
    assert difference(logits(model, clip), wanted) <= CLOSE


def test_bfloat16_an_empty_batch_and_other_places(seen: VideoClassifier) -> None:
    model = copy_of(seen)
    wanted = truth(model, clips())
    with torch.autocast("cpu", torch.bfloat16):
        assert difference(logits(model, clips()), wanted) <= 0.03
    assert logits(model, clips()[:0]).shape == (0, 5)
    model.bfloat16()
    assert difference(logits(model, clips().bfloat16()), wanted) <= 0.03
    other = network("resnet18", "tin", place="conv2")
    assert difference(logits(other, clips()), truth(other, clips())) <= CLOSE


def _replaced(model: Any) -> None:
    old = model.backbone.layer3[0].conv2
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, old.stride, 1)
    nn.init.normal_(new.weight, std=0.05)
    model.backbone.layer3[0].conv2 = new


def _by_numpy(model: Any) -> None:
    model.backbone.layer2[0].conv2.weight.detach().numpy()[:, :, 1, 1] *= 3


def _loaded(model: Any) -> None:
    torch.manual_seed(3)
    state = {name: value * (0.8 + 0.4 * torch.rand_like(value)) if value.is_floating_point() else value
             for name, value in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(state)


Change = Callable[[Any], object]
CHANGES: dict[str, Change] = {
    "data of a weight": lambda model: model.backbone.layer1[0].conv1.weight.data.mul_(1.5),
    "data of one number": lambda model: model.backbone.conv1.weight.data[5, 1, 3, 3].add_(30),
    "signs of a weight": lambda model: model.backbone.layer1[0].conv2.weight.data.neg_(),
    "a weight by NumPy": _by_numpy,
    "filters in another order": lambda model: model.backbone.layer1[1].bn1.running_mean.data.copy_(
        model.backbone.layer1[1].bn1.running_mean.flip(0)
    ),
    "a running mean": lambda model: model.backbone.layer4[1].bn2.running_mean.add_(1),
    "a norm's epsilon": lambda model: setattr(model.backbone.layer4[1].bn1, "eps", 3.0),
    "a norm in training mode": lambda model: model.backbone.layer4[1].bn1.train(),
    "a convolution's stride": lambda model: (
        setattr(model.backbone.layer4[0].downsample[0], "stride", (1, 1))
        or setattr(model.backbone.layer4[0].conv1, "stride", (1, 1))
    ),
    "a convolution's padding mode": lambda model: (
        setattr(model.backbone.layer2[1].conv2, "padding_mode", "reflect")
        or setattr(model.backbone.layer2[1].conv2, "_reversed_padding_repeated_twice", [1, 1, 1, 1])
    ),
    "a parameter in place of another": lambda model: setattr(
        model.backbone.layer2[1].conv1, "weight", nn.Parameter(2 * model.backbone.layer2[1].conv1.weight)
    ),
    "a replaced convolution": _replaced,
    "another state dict": _loaded,
    "a replaced activation": lambda model: setattr(model.backbone.layer1[0], "act1", nn.Hardswish()),
    "an activation that is not known": lambda model: setattr(model.backbone.layer1[0], "act2", nn.ELU()),
    "a hook on the shortcut": lambda model: model.backbone.layer2[0].downsample.register_forward_hook(
        lambda module, given, out: 2 * out
    ),
    "a hook on a block's end": lambda model: model.backbone.layer2[0].act2.register_forward_hook(
        lambda module, given, out: 2 * out
    ),
    "checkpointing": lambda model: checkpoint_blocks(model, "resnet18"),
    "steering's weights": lambda model: model.backbone.layer3[1].conv1.temporal.offset_net.fc2.bias.data.add_(1),
    "another dtype": lambda model: model.double(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_after_a_forward_pass_has_its_effect(name: str, seen: VideoClassifier) -> None:
    model = copy_of(seen)
    before = logits(model, clips())
    CHANGES[name](model)
    clip = clips().to(next(model.parameters()).dtype)
    statistics = copy.deepcopy(model.state_dict())
    wanted = truth(model, clip)
    model.load_state_dict(statistics)  # a norm in training mode has moved them
    assert difference(logits(model, clip), wanted) <= 1e-4
    assert name == "checkpointing" or difference(wanted, before) >= 1e-4 or wanted.dtype != before.dtype


def _nan(tensor: Tensor) -> None:
    tensor.data.view(-1)[0] = float("nan")


@pytest.mark.parametrize(
    "at", ["conv1.weight", "layer1.0.bn2.running_var", "layer2.0.conv1.temporal.gain_net.conv.bias"]
)
def test_weights_that_are_non_finite_give_no_number(at: str, seen: VideoClassifier) -> None:
    model = copy_of(seen)
    _nan(model.backbone.state_dict(keep_vars=True)[at])
    assert logits(model, clips()).isnan().any()


def test_what_is_non_finite_gives_no_number(seen: VideoClassifier) -> None:
    """Frames, a user's module, what a hook steers by, and weights with which features overflow."""
    model, clip = copy_of(seen), clips()
    clip[0, 1, 0, 3, 3] = float("nan")
    found = logits(model, clip)
    assert found[0].isnan().all()
    assert not found[1].isnan().any()
    model.backbone.layer1[0].conv1.weight.data.fill_(1e38)
    assert not logits(model, clips()).isfinite().all()
    hooks: dict[str, Any] = {
        "layer1.0.bn1": lambda module, given, out: out * torch.nan,
        "layer2.0.conv1.temporal.steering": lambda module, given, out: (out[0], out[1] * torch.nan),
    }
    for at, hook in hooks.items():
        model = copy_of(seen)
        model.backbone.get_submodule(at).register_forward_hook(hook)
        assert logits(model, clips()).isnan().all()


@pytest.mark.parametrize("at", ["layer1.0", "layer1.1", "layer2.0.downsample", "layer2.1.conv1", "maxpool"])
def test_what_a_hook_keeps_stays_as_it_was(at: str, seen: VideoClassifier) -> None:
    model = copy_of(seen)
    kept: list[Tensor] = []
    copies: list[Tensor] = []

    def keep(module: nn.Module, given: Any, out: Tensor) -> None:
        kept.extend((given[0], out))
        copies.extend((given[0].clone(), out.clone()))

    model.backbone.get_submodule(at).register_forward_hook(keep)
    logits(model, clips())
    # A ResNet's own block adds to what its last norm gave, and ReLU writes to that: nothing else may change.
    assert len(kept) == 2
    assert all(torch.equal(*pair) for pair in zip(kept, copies, strict=True))


@pytest.mark.slow
def test_gradients_and_exporters_call_modules(seen: VideoClassifier) -> None:
    model = copy_of(seen)
    model(clips()).sum().backward()
    assert all(parameter.grad is not None for parameter in model.backbone.layer1.parameters())
    with torch.no_grad():
        program = torch.export.export(model, (clips(),))
    assert not [node for node in program.graph.nodes if "mkldnn" in str(node.target)]


def test_steering_is_recorded(seen: VideoClassifier) -> None:
    model = copy_of(seen)
    with record_steering(model) as ours:
        logits(model, clips())
    with record_steering(model) as by_modules:
        model(clips())
    assert ours.keys() == by_modules.keys()
    for name, [(offset, gain)] in by_modules.items():
        torch.testing.assert_close(ours[name][0][0], offset, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours[name][0][1], gain, rtol=1e-4, atol=1e-5)


def test_frames_of_other_sizes(seen: VideoClassifier) -> None:
    model = copy_of(seen)
    for size in (48, 32, 64, 80, 96, 112, 48):
        clip = torch.randn(1, 4, 3, size, size - 8)
        assert difference(logits(model, clip), truth(model, clip)) <= CLOSE


def test_layers_that_are_gone_are_forgotten(seen: VideoClassifier) -> None:
    model = copy_of(seen)
    model.backbone.layer4[1] = nn.Identity()
    logits(model, clips())
    assert len(model._fused) == CONVOLUTIONS - 2
