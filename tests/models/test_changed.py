"""A network that somebody changed: the change has its effect, with gradients, without, and with norms merged."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from benchmarks.faults import networks
from benchmarks.faults.network_changes import CHANGES, STILL, TEMPORAL, at
from benchmarks.faults.network_truth import difference, network, plain
from benchmarks.faults.network_truth import video as clip_of
from tinkit.models import VideoClassifier, video
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.models.fused import FusedWeights, fused_features
from tinkit.ops import native
from tinkit.ops.post_ops import why_not

# One of each kind; `make proof-faults` tries them all, at every module.
CHOSEN = (
    "hook on a block's first convolution",
    "hook before OffsetNet's fc1",
    "hook on GainNet",
    "GainNet's convolution has a forward of its own",
    "a block's last ReLU is wrapped",
    "another offset from a hook on the tap",
    "a stage of a subclass",
    "one block in two places of a stage",
    "one convolution in two blocks",
    "an attribute that a block does not use",
    "a shortcut that is a view",
    "a shortcut that gives numbers to be added everywhere",
    "forward_features of the backbone",
    "ResNet.forward_features of all",
    "BasicBlock.forward of all in disguise",
    "BasicBlock.forward has other code",
    "ReLU.forward of all",
    "Conv2d._conv_forward of all",
    "Linear.forward of all",
    "parametrised: a block's first convolution",
    "pruned, then moved: OffsetNet's fc1",
    "LoRA: GainNet's convolution",
    "a subclass of tensors: OffsetNet's fc1",
    "linear layers quantised",
    "OffsetNet's fc1 without a bias",
    "GainNet's convolution dilated",
    "a hook on all modules",
    "a mode for PyTorch's operations",
)


@pytest.fixture(scope="module")
def tin() -> VideoClassifier:
    return network()


@pytest.mark.parametrize("name", CHOSEN)
def test_a_change_has_its_effect_on_every_path(name: str, tin: VideoClassifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some ways of changing a network are PyTorch's old ones
        paths = networks.compare(name, tin)
    assert paths.apart <= networks.ROUNDING, paths
    assert (paths.moved >= networks.MOVED) is (name not in STILL)


FUSES = native.load() and why_not(torch.float32) is None


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry a forward pass: whether convolutions were fused."""
    calls: list[bool] = []

    def counted(weights: FusedWeights, backbone: nn.Module, frames: Tensor) -> Tensor | None:
        features = fused_features(weights, backbone, frames)
        calls.append(features is not None)
        return features

    monkeypatch.setattr(video, "fused_features", counted)
    return calls


@pytest.mark.skipif(not FUSES, reason="needs native kernels and PyTorch's operators")
@pytest.mark.parametrize(
    "name", ["an attribute that a block does not use", "linear layers quantised", "hook on a block's first convolution"]
)
def test_what_can_be_fused_still_is(name: str, tin: VideoClassifier, fused: list[bool]) -> None:
    """A changed module is called at its place, and the others are not."""
    model = copy.deepcopy(tin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CHANGES[name](model, None)  # type: ignore[arg-type]
    with torch.no_grad():
        model(clip_of())
    assert fused == [True]
    assert len(model._fused) >= 12


Way = Callable[[VideoClassifier, Tensor], Tensor]


def with_other_weights(model: VideoClassifier, clip: Tensor) -> Tensor:
    weights = {name: 1.1 * weight for name, weight in model.named_parameters()}
    return torch.func.functional_call(model, weights, (clip,))


def with_other_weights_in_place(model: VideoClassifier, clip: Tensor) -> Tensor:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    return model(clip)


def in_a_map(model: VideoClassifier, clip: Tensor) -> Tensor:
    return torch.func.vmap(lambda one: model(one[None])[0])(clip)


def checkpointed_copy(model: VideoClassifier, clip: Tensor) -> Tensor:
    model = copy.deepcopy(model)
    checkpoint_blocks(model, "resnet18")
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()  # the copy's blocks are its own
    return copied(clip)


WAYS: dict[str, tuple[Way, Way]] = {
    "pickled": (lambda model, clip: pickle.loads(pickle.dumps(model))(clip), lambda model, clip: model(clip)),
    "weights of a call": (with_other_weights, with_other_weights_in_place),
    "vmap": (in_a_map, lambda model, clip: model(clip)),
    "checkpointed and copied": (checkpointed_copy, lambda model, clip: model(clip)),
    "frozen": (lambda model, clip: copy.deepcopy(model).requires_grad_(False)(clip), lambda model, clip: model(clip)),
    "training": (lambda model, clip: copy.deepcopy(model).train()(clip),) * 2,
}


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("way", WAYS)
def test_ways_to_call_a_network(way: str, context: type[AbstractContextManager[None]], tin: VideoClassifier) -> None:
    ours, truth = WAYS[way]
    wanted = truth(plain(tin), clip_of())
    with context():
        found = ours(copy.deepcopy(tin), clip_of())
    assert difference(found, wanted) <= networks.ROUNDING


def test_forward_mode_derivatives_are_not_lost_without_gradients(tin: VideoClassifier) -> None:
    clip, along = clip_of(), clip_of(seed=2)
    with torch.no_grad():
        _, found = torch.func.jvp(tin, (clip,), (along,))
    _, wanted = torch.func.jvp(plain(tin), (clip,), (along,))
    assert difference(found, wanted) <= 1e-3


def test_statistics_move_alike_without_gradients(tin: VideoClassifier) -> None:
    ours, truth = copy.deepcopy(tin).train(), plain(tin).train()
    truth(clip_of())
    with torch.no_grad():
        ours(clip_of())
    buffers = dict(truth.named_buffers())
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_called_networks_steer_outside_autocast(dtype: torch.dtype, tin: VideoClassifier) -> None:
    """A hook that changes nothing has no effect on offsets, which eight bits of mantissa would move."""
    model = copy.deepcopy(tin)
    temporal = at(model, TEMPORAL).module
    x = torch.randn(8, 128, 4, 4)
    with torch.autocast("cpu", dtype):
        before = temporal.steer(x)
        temporal.offset_net.fc1.register_forward_hook(lambda *_: None)
        after = temporal.steer(x)
    for old, new in zip(before, after, strict=True):
        assert old.dtype == new.dtype == torch.float32
        torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temporal", ["tsm", "rtcn"])
def test_other_temporal_modules(temporal: str) -> None:
    """Their convolutions' weights are read by the modules that own them, and those are called."""
    model = network(temporal=temporal)
    with torch.no_grad():
        before = model(clip_of())
    at(model, "layer2.1.conv1").module.register_forward_hook(lambda module, given, out: 1.5 * out)
    wanted = plain(model)(clip_of())
    with torch.no_grad():
        assert difference(model(clip_of()), wanted) <= networks.ROUNDING
    assert difference(wanted, before) >= networks.MOVED


def test_a_linear_layer_behind_a_temporal_module_may_be_quantised() -> None:
    """The quantised module has the hook that moves its input, but no submodule ``temporal``."""
    torch.manual_seed(0)
    kwargs = {"img_size": 32}
    model = VideoClassifier(
        "vit_tiny_patch16_224", "tin", 5, 4, dropout=0, place="blocks.*.mlp.fc1", backbone_kwargs=kwargs
    )
    model = model.eval()
    with torch.no_grad():
        before = model(clip_of())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
        assert difference(small(clip_of()), before) <= 0.1
