"""Every family of backbones, small: what is compiled, exported, copied, computed twice or in half precision."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.helpers.small_backbones import BY_NAME, clips, small
from tinkit.models.activation_checkpointing import checkpoint_blocks

LONGER = {"regnety_002", "mobilenetv4_conv_small_035", "tf_efficientnet_lite0"}  # no other blocks than their relatives'
EXPORTED = [(name, "tin") for name in BY_NAME if name not in LONGER]
EXPORTED += [("test_vit", "tsm"), ("swin_tiny_patch4_window7_224", "tsm"), ("test_convnext", "tsm")]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "temporal"), EXPORTED)
def test_exports(name: str, temporal: str) -> None:
    case = BY_NAME[name]
    model, video = small(case, temporal), clips(case)
    with torch.no_grad():
        wanted = model(video)
        program = torch.export.export(model, (video,))
        found = program.module()(video)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "temporal"), [("test_vit", "tin"), ("swin_tiny_patch4_window7_224", "tsm"), ("test_nfnet", "tin")]
)
def test_compiles_as_one_graph(name: str, temporal: str) -> None:
    torch._dynamo.reset()
    case = BY_NAME[name]
    model, video = small(case, temporal).train(), clips(case)
    outcomes = []
    for run in (torch.compile(model, fullgraph=True, backend="aot_eager"), model):
        model.zero_grad()
        logits = run(video)
        logits.square().mean().backward()
        outcomes.append([logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for ours, eager in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["test_vit", "tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"])
def test_a_copy_moves_by_its_own_weights(name: str) -> None:
    case = BY_NAME[name]
    model, video = small(case), clips(case)
    with torch.inference_mode():
        before = model(video)
        twin = copy.deepcopy(model)
        assert torch.equal(twin(video), before)
        for module in twin.steering_modules().values():
            module.offset_net.fc2.bias.fill_(3.0)
        assert not torch.equal(twin(video), before)
        assert torch.equal(model(video), before)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "mobilenetv3_small_050", "densenet121"])
def test_recomputed_activations_give_the_same_gradients(name: str) -> None:
    case = BY_NAME[name]
    gradients = []
    for recompute in (False, True):
        model = small(case).train()
        if recompute:
            checkpoint_blocks(model, case.backbone)
        model(clips(case)).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224", "tf_efficientnet_lite0"])
def test_autocast_is_near(name: str) -> None:
    case = BY_NAME[name]
    model, video = small(case), clips(case)
    with torch.inference_mode():
        plain = model(video)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(video)
    assert logits.dtype == torch.float32
    assert float((logits - plain).abs().max() / plain.abs().max()) < 0.05
