"""Offsets that do not depend on the clip: learned once for all clips, or fixed."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.named_weights import give_named_weights
from tinkit.errors import UserError
from tinkit.models import TemporalInterlace, TemporalShift, VideoClassifier, load_foreign, record_steering
from tinkit.models.foreign.save import to_foreign
from tinkit.ops import interlace


@pytest.mark.parametrize("offsets", ["once", "fixed"])
@pytest.mark.parametrize("start", [-1.5, 0.5, 1.0])
def test_every_clip_is_moved_alike(offsets: str, start: float) -> None:
    module = TemporalInterlace(16, 4, 2, offset_init=start, offsets=offsets)  # type: ignore[arg-type]
    x = torch.randn(12, 16, 3, 3)
    offset, gain = module.steer(x)
    torch.testing.assert_close(offset, torch.tensor([[start, start, -start, -start]]).expand(3, 4))
    torch.testing.assert_close(module(x), interlace(x, offset, gain, 8))
    assert gain.std(0).max() > 1e-3  # which depend on the clip as ever


def test_at_one_frame_it_is_a_shift() -> None:
    module = TemporalInterlace(16, 4, 2, offset_init=1.0, offsets="fixed")
    for parameter in module.gain_net.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(8, 16, 3, 3)
    swapped = torch.cat([x[:, 4:8], x[:, :4], x[:, 8:]], 1)  # a shift looks ahead in its first part
    moved = TemporalShift(4, 4)(swapped)
    torch.testing.assert_close(module(x), torch.cat([moved[:, 4:8], moved[:, :4], moved[:, 8:]], 1))


def test_once_is_learned_and_fixed_is_not() -> None:
    for offsets, learned in (("once", True), ("fixed", False)):
        module = TemporalInterlace(16, 4, 2, offsets=offsets)  # type: ignore[arg-type]
        names = {name for name, _ in module.named_parameters() if name.startswith("offset_net.")}
        assert names == ({"offset_net.offset_logit"} if learned else set())
        assert {name for name in module.state_dict() if name.startswith("offset_net.")} == {"offset_net.offset_logit"}
        x = torch.randn(8, 16, 3, 3, requires_grad=True)
        module(x).square().sum().backward()
        grad = module.offset_net.offset_logit.grad
        assert (grad is not None) == learned
        assert grad is None or grad.abs().min() > 0


def test_the_gradient_is_that_of_the_shared_offset() -> None:
    module = TemporalInterlace(16, 4, 2, offset_init=0.3, offsets="once").double()
    x = torch.randn(8, 16, 3, 3, dtype=torch.float64)
    weight = torch.randn(8, 16, 3, 3, dtype=torch.float64)
    (module(x) * weight).sum().backward()
    logit = module.offset_net.offset_logit
    for place in (0, 1):
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                logit[place] += step
                values.append(float((module(x) * weight).sum()))
                logit[place] -= step
        assert float(logit.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("offsets", ["once", "fixed"])
def test_in_a_network(offsets: str) -> None:
    model = VideoClassifier("test_resnet", "tin", 3, 4, offsets=offsets, offset_init=1.25).eval()  # type: ignore[arg-type]
    give_named_weights(model)
    with record_steering(model) as record:
        model(torch.randn(2, 4, 3, 32, 32))
    assert len(record) == 4
    for (offset, _), *_ in record.values():
        assert torch.equal(offset[0], offset[1])


def test_weights_of_another_kind_of_offsets_are_told() -> None:
    published, once = (VideoClassifier("test_resnet", "tin", 3, 4, offsets=kind) for kind in ("clip", "once"))
    report = load_foreign(published.state_dict(), once)
    told = str(report)
    assert "offset_net" in told
    assert all("offset_net" not in name or "offset_logit" in name for name in once.state_dict())


@pytest.mark.parametrize("code_base", ["tin", "x_temporal", "mmaction2"])
def test_other_code_bases_have_no_place_for_them(code_base: str) -> None:
    model = VideoClassifier("resnet18", "tin", 3, 4, offsets="fixed")
    with pytest.raises(
        UserError, match=f"{code_base} has no place for offsets that are the same for all clips"
    ) as caught:
        to_foreign(model, code_base)
    assert caught.value.expected == "one of tinkit"
    assert set(to_foreign(model, "tinkit")) == set(model.state_dict())


def test_an_unknown_kind_is_answered_with_the_choices() -> None:
    with pytest.raises(UserError, match="no offsets are called 'clips'; did you mean 'clip'") as caught:
        VideoClassifier("test_resnet", "tin", 3, 4, offsets="clips")  # type: ignore[arg-type]
    assert caught.value.expected == "clip, once, fixed"
