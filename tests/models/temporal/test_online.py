"""Modules that look back: what they compute, frame by frame, and that a stream gives what a clip does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.named_weights import give_named_weights, named_video
from tests.helpers.small_backbones import CASES, Case
from tinkit.errors import UserError
from tinkit.models import VideoClassifier
from tinkit.models.backbones.feature_layout import FeatureLayout
from tinkit.models.streaming import FrameStream
from tinkit.models.temporal.online import OnlineInterlace, OnlineShift
from tinkit.ops import interlace

FRAMES = 5


def steered(fold: int = 8, frames: int = FRAMES) -> OnlineInterlace:
    """A module in float64 whose offsets are all over their range."""
    module = OnlineInterlace(frames, fold).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for conv in (module.offset_conv, module.gain_conv):
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator, dtype=torch.float64))
    return module


def test_shift_is_the_frame_before() -> None:
    x = torch.randn(2 * FRAMES, 9, 3, 4)
    wanted = x.clone()
    for row in range(len(x)):
        wanted[row, :2] = x[row - 1, :2] if row % FRAMES else 0
    assert torch.equal(OnlineShift(FRAMES, 2)(x), wanted)


def test_interlace_is_the_reference_operator_frame_by_frame() -> None:
    """Frame t is the last of a clip of three, moved by its own offsets and gains; with all gradients."""
    module = steered()
    x = torch.randn(2 * FRAMES, 11, 3, 4, dtype=torch.float64, requires_grad=True)
    offset, gain = module.steer(x)
    assert offset.min() < 0.3
    assert offset.max() > 1.7
    padded = torch.cat([x.new_zeros(2, 2, 11, 3, 4), x.unflatten(0, (2, FRAMES))], 1)
    rows = []
    for row in range(len(x)):
        clip, frame = divmod(row, FRAMES)
        three, each = padded[clip, frame : frame + 3], gain[row].expand(1, 3, 4)
        rows.append(interlace(three, offset[row][None], each, module.fold)[-1])
    ours, wanted = module(x), torch.stack(rows)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(ours)
    of = [x, *module.parameters()]
    for mine, other in zip(
        torch.autograd.grad(ours, of, grad, retain_graph=True), torch.autograd.grad(wanted, of, grad), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_offsets_are_of_the_means_so_far() -> None:
    """The convolution written out, and the start: half a frame, gain one."""
    module = steered()
    x = torch.randn(FRAMES, 11, 3, 4, dtype=torch.float64)
    means = x[:, :8].mean((2, 3))
    offset, gain = module.steer(x)
    for t in range(FRAMES):
        for found, conv in ((offset, module.offset_conv), (gain, module.gain_conv)):
            total = conv.bias.clone()
            for tap, frame in enumerate((t - 2, t - 1, t)):
                if frame >= 0:
                    total += conv.weight[:, :, tap] @ means[frame]
            torch.testing.assert_close(found[t], 2 / (1 + torch.exp(-total)))
    fresh = OnlineInterlace(FRAMES, 8, offset_init=0.5)
    nn.init.zeros_(fresh.offset_conv.weight)
    nn.init.zeros_(fresh.gain_conv.weight)
    offset, gain = fresh.steer(torch.randn(FRAMES, 8, 2, 2))
    torch.testing.assert_close(offset, torch.full_like(offset, 0.5))
    torch.testing.assert_close(gain, torch.ones_like(gain))


@pytest.mark.parametrize("start", [0, 2, -0.5, 2.5])
def test_a_start_that_cannot_be(start: float) -> None:
    with pytest.raises(UserError, match="offset_init"):
        OnlineInterlace(FRAMES, 8, offset_init=start)


@pytest.mark.parametrize("layout", [FeatureLayout("NHWC"), FeatureLayout("NLC", prefix=1)])
@pytest.mark.parametrize("kind", [OnlineShift, OnlineInterlace])
def test_other_layouts(kind: Any, layout: FeatureLayout) -> None:
    torch.manual_seed(0)
    plain = kind(FRAMES, 8)
    other = kind(FRAMES, 8, layout=layout)
    other.load_state_dict(plain.state_dict())
    x = torch.randn(FRAMES, 11, 6, 1)
    given = x.movedim(1, 3) if layout.format == "NHWC" else x.squeeze(3).transpose(1, 2)
    if layout.prefix:
        given = torch.cat([torch.randn(FRAMES, 1, 11), given], 1)
    found = other(given)
    if layout.prefix:
        assert torch.equal(found[:, 0], given[:, 0])
        found = found[:, 1:]
    back = found.movedim(3, 1) if layout.format == "NHWC" else found.transpose(1, 2).unsqueeze(3)
    torch.testing.assert_close(back, plain(x))


def made(case: Case, temporal: str, **settings: Any) -> VideoClassifier:
    model = VideoClassifier(
        case.backbone, temporal, 5, FRAMES, consensus="identity", backbone_kwargs=case.kwargs, **settings
    )
    give_named_weights(model)
    return model.eval()


SOME = [case for case in CASES if case.backbone in ("test_resnet", "mobilenetv2_050", "test_convnext", "test_vit")]


@pytest.mark.parametrize("temporal", ["tsn", "tsm_online", "tin_online"])
@pytest.mark.parametrize("case", SOME, ids=lambda case: case.backbone)
def test_a_stream_gives_what_a_clip_does(case: Case, temporal: str) -> None:
    """For two streams side by side, and again after it has ended; and a step does a clip's work once, T-th of it."""
    model = made(case, temporal)
    video = named_video("stream", 2, FRAMES, case.size)
    with torch.inference_mode(), FlopCounterMode(display=False) as whole:
        wanted = model(video)
    assert float((wanted[:, 1:] - wanted[:, :-1]).abs().max()) > 1e-3
    for _ in range(2):
        with FrameStream(model) as stream:
            for t in range(FRAMES):
                with FlopCounterMode(display=False) as step:
                    logits = stream.step(video[:, t])
                torch.testing.assert_close(logits, wanted[:, t], rtol=1e-4, atol=1e-4)
                assert step.get_total_flops() * FRAMES == whole.get_total_flops()
    with torch.inference_mode():
        torch.testing.assert_close(model(video), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temporal", ["tsm_online", "tin_online"])
def test_no_frame_depends_on_a_later_one_and_each_on_earlier_ones(temporal: str) -> None:
    model = made(Case("test_resnet", 4), temporal)
    video = named_video("stream", 1, FRAMES, 32).requires_grad_()
    logits = model(video)
    for t in range(FRAMES):
        (grad,) = torch.autograd.grad(logits[0, t].sum(), video, retain_graph=True)
        reach = grad[0].abs().amax((1, 2, 3)) > 0
        assert not reach[t + 1 :].any()
        assert reach[max(0, t - 1) : t + 1].all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temporal": "tsm"}, "looks ahead"),
        ({"temporal": "tsn", "temporal_pool": True, "num_segments": 8, "backbone": "resnet10t"}, "temporal pooling"),
        ({"temporal": "tsm_online", "consensus": "trn"}, "relations"),
    ],
)
def test_what_cannot_read_a_stream(settings: dict[str, Any], says: str) -> None:
    model = VideoClassifier(**({"backbone": "test_resnet", "num_classes": 3, "num_segments": 4} | settings))
    with pytest.raises(UserError, match=says):
        FrameStream(model)


def test_what_is_kept_does_not_grow() -> None:
    module = OnlineInterlace(FRAMES, 8)
    module.begin()
    sizes = set()
    for _ in range(9):
        module(torch.randn(1, 11, 3, 4))
        kept: list[Tensor] = [part for parts in (module._past or {}).values() for part in parts]
        sizes.add(sum(part.untyped_storage().nbytes() for part in kept))
    assert sizes == {2 * 4 * (8 * 12 + 8)}  # two frames of the fold and of its means, and no view of whole features
