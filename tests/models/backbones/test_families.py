"""Every family of backbones, small: what sees the order of time, what keeps its names, what learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.helpers.small_backbones import CASES, Case, clips, each_family, small
from tinkit.models import TemporalConv2d
from tinkit.models.backbones.families import FAMILIES, family_of


def test_every_row_of_the_table_is_tried_and_says_why() -> None:
    tried = {family_of(case.backbone).name for case in CASES}
    assert tried == {family.name for family in FAMILIES}
    assert all(len(family.why) > 5 for family in FAMILIES)


@pytest.mark.slow
@each_family
@pytest.mark.parametrize(("temporal", "changes"), [("tin", True), ("tsm", True), ("tsn", False)])
def test_only_temporal_models_see_the_order_of_time(case: Case, temporal: str, changes: bool) -> None:
    """In float64: named weights leave little of the frames' differences at the end of deep networks."""
    model, video = small(case, temporal).double(), clips(case).double()
    with torch.inference_mode():
        forwards, backwards = model(video), model(video.flip(1))
        alone = model(video[1:])
    torch.testing.assert_close(alone, forwards[1:])  # clips do not see each other
    difference = float((forwards - backwards).abs().max() / forwards.abs().max())
    assert (difference > 1e-6) if changes else (difference < 1e-12)


@pytest.mark.slow
@each_family
def test_names_and_weights_of_the_backbone_stay(case: Case) -> None:
    model, plain = small(case), small(case, "tsn")
    assert len(model.steering_modules()) == case.places
    state = model.state_dict()
    assert {name for name in state if ".temporal." not in name} == set(plain.state_dict())
    ours, theirs = dict(model.named_modules()), dict(plain.named_modules())
    for name in model.steering_modules():
        module, original = ours[name.removesuffix(".temporal")], theirs[name.removesuffix(".temporal")]
        kind = TemporalConv2d if type(original) is nn.Conv2d else type(original)
        assert type(module) is kind


@pytest.mark.slow
@each_family
def test_one_step_gives_every_steering_parameter_a_gradient(case: Case) -> None:
    model = small(case).train()
    with torch.no_grad():  # or else a silent ReLU, or an offset near its bound, would have a gradient of exactly zero
        for module in model.steering_modules().values():
            for parameter in module.parameters():
                parameter.mul_(0.01)
            module.offset_net.fc1.bias.fill_(1.0)
    nn.functional.cross_entropy(model(clips(case)), torch.tensor([1, 4])).backward()
    steering = [(n, p) for n, p in model.named_parameters() if ".temporal." in n]
    assert len(steering) == 8 * case.places
    finite = {n for n, p in steering if p.grad is not None and bool(p.grad.isfinite().all())}
    moving = {n for n, p in steering if p.grad is not None and float(p.grad.abs().max()) > 0}
    assert finite == moving == {n for n, _ in steering}
