"""Blocks that run as a chain give what the backbone's own forward gives, and leave it alone where somebody looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tinkit.models import VideoClassifier, chain, video
from tinkit.models.activation_checkpointing import checkpoint_blocks
from tinkit.models.temporal.interlace import record_steering
from tinkit.ops import native

pytestmark = pytest.mark.skipif(not native.load(), reason="the chain is taken with native kernels only")


def network(backbone: str, temporal: str, place: str = "conv1") -> VideoClassifier:
    """Random, with the statistics of a batch of noise and offsets other than those of the start."""
    torch.manual_seed(0)
    model = VideoClassifier(
        backbone,
        temporal,
        5,
        4,
        dropout=0,
        place=place,
        zero_init_last=False,
        classifier_std=0.1,  # type: ignore[arg-type]
    )
    for module in model.steering_modules().values():
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.3
    model.train()(torch.randn(2, 4, 3, 64, 64))  # with gradients, and so not as a chain
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


@pytest.fixture
def chained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a forward pass that ran as a chain."""
    calls: list[int] = []

    def counted(backbone: nn.Module, frames: Tensor) -> Tensor:
        calls.append(1)
        return chain.run_chain(backbone, frames)

    monkeypatch.setattr(video, "run_chain", counted)
    return calls


@pytest.mark.parametrize("temporal", ["tin", "tsm", "tsn"])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet26", "resnet26d", "seresnext26d_32x4d"])
def test_chain_gives_the_logits_of_the_backbone(backbone: str, temporal: str, chained: list[int]) -> None:
    model = network(backbone, temporal)
    frames = torch.randn(2, 4, 3, 72, 60)
    with torch.enable_grad():
        truth = model(frames).detach()
    assert not chained
    with torch.inference_mode():
        ours = model(frames)
    assert len(chained) == 1
    assert (ours - truth).abs().max() <= 1e-5 * truth.abs().max()


def test_place_conv2_bfloat16_and_an_empty_batch(chained: list[int]) -> None:
    model = network("resnet26", "tin", place="conv2")
    frames = torch.randn(1, 4, 3, 64, 64)
    truth = model(frames).detach()
    with torch.no_grad():
        assert (model(frames) - truth).abs().max() <= 1e-5 * truth.abs().max()
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(frames) - truth).abs().max() <= 0.05 * truth.abs().max()
        assert model.double()(frames.double()).dtype == torch.float64
        assert model.float()(frames[:0]).shape == (0, 5)
    assert len(chained) == 4


def test_clips_and_weights_are_as_they_were(chained: list[int]) -> None:
    model = network("resnet18", "tin")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frames = torch.randn(1, 4, 3, 64, 64)
    given = frames.clone()
    with torch.no_grad():
        assert torch.equal(model(frames), model(frames))
    assert len(chained) == 2
    assert torch.equal(frames, given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


Change = Callable[[VideoClassifier], object]
WATCHED: dict[str, Change] = {
    "hook on a block": lambda model: model.backbone.layer1[0].register_forward_hook(lambda *_: None),
    "hook before a block": lambda model: model.backbone.layer2[0].register_forward_pre_hook(lambda *_: None),
    "hook on a norm": lambda model: model.backbone.layer3[1].bn2.register_forward_hook(lambda *_: None),
    "checkpointing": lambda model: checkpoint_blocks(model, "resnet18"),
    "another activation": lambda model: setattr(model.backbone.layer4[0], "act2", nn.GELU()),
}


@pytest.mark.parametrize("change", WATCHED.values(), ids=WATCHED)
def test_a_watched_backbone_runs_by_itself(change: Change, chained: list[int]) -> None:
    model = network("resnet18", "tin")
    change(model)
    with torch.no_grad():
        model(torch.randn(1, 4, 3, 64, 64))
    assert not chained


def test_gradients_and_compilers_leave_the_chain_out(chained: list[int]) -> None:
    model = network("resnet18", "tin")
    model(torch.randn(1, 4, 3, 64, 64)).sum().backward()
    with torch.no_grad():
        torch.export.export(model, (torch.randn(1, 4, 3, 64, 64),))
    assert not chained


def test_steering_is_recorded_along_the_chain(chained: list[int]) -> None:
    model = network("resnet18", "tin")
    frames = torch.randn(2, 4, 3, 64, 64)
    with record_steering(model) as ours, torch.no_grad():
        model(frames)
    assert len(chained) == 1
    with record_steering(model) as truth:
        model(frames)
    assert ours.keys() == truth.keys()
    for name, [(offset, gain)] in truth.items():
        torch.testing.assert_close(ours[name][0][0], offset, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours[name][0][1], gain, rtol=1e-4, atol=1e-5)
