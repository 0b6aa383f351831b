"""The first convolution turned to flow and RGB differences, against sums written out; the pixels that a model wants."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from tinkit.errors import UserError
from tinkit.models import Video3D, VideoClassifier, data_config
from tinkit.models.modality import differences, first_convolution, pixels_of, read_modality, turn_rgb_weight
from tinkit.timm_import import import_timm

NETS = ("test_resnet", "test_vit", "test_efficientnet", "test_convnext", "regnetx_002", "resnetv2_18", "resnet18d")


def backbone(name: str = "test_resnet") -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = import_timm().create_model(name, num_classes=0)
    return model.eval()


def test_rgb_is_left_alone() -> None:
    plain, read = backbone(), backbone()
    read_modality(read, "rgb")
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), read.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("modality", "channels"), [("flow", 10), ("rgb_diff", 15)])
def test_every_channel_of_the_first_convolution_is_the_mean_of_the_three(
    name: str, modality: str, channels: int
) -> None:
    plain, turned = backbone(name), backbone(name)
    read_modality(turned, modality)  # type: ignore[arg-type]
    place, conv = first_convolution(turned)
    before = dict(plain.named_modules())[place]
    assert type(conv) is type(before)
    assert list(turned.state_dict()) == list(plain.state_dict())
    rgb = plain.state_dict()[f"{place}.weight"]
    for out in range(0, rgb.shape[0], 7):
        mean = (rgb[out, 0] + rgb[out, 1] + rgb[out, 2]) / 3
        for channel in range(channels):
            torch.testing.assert_close(conv.weight[out, channel], mean)
    others = [key for key in plain.state_dict() if key != f"{place}.weight"]
    assert all(torch.equal(plain.state_dict()[key], turned.state_dict()[key]) for key in others)
    side = 32 if name != "test_vit" else plain.pretrained_cfg["input_size"][-1]  # type: ignore[index, union-attr]
    assert turned(torch.rand(2, channels, side, side)).shape == plain(torch.rand(2, 3, side, side)).shape


def test_ten_equal_channels_are_worth_ten_thirds_of_a_grey_image() -> None:
    """What the published rule keeps: the turned convolution answers to the sum of its channels alone."""
    rgb = torch.randn(8, 3, 3, 3, dtype=torch.float64)
    grey, flow = torch.randn(2, 1, 9, 9, dtype=torch.float64), torch.randn(2, 10, 9, 9, dtype=torch.float64)
    weight = turn_rgb_weight(rgb, 10)
    of_grey = functional.conv2d(grey.expand(-1, 3, -1, -1), rgb)
    torch.testing.assert_close(functional.conv2d(grey.expand(-1, 10, -1, -1), weight), of_grey * 10 / 3)
    alike = flow.mean(1, keepdim=True).expand(-1, 10, -1, -1)
    torch.testing.assert_close(functional.conv2d(flow, weight), functional.conv2d(alike, weight))


def test_what_was_frozen_stays_frozen_and_each_channel_then_learns_by_itself() -> None:
    model = backbone()
    first_convolution(model)[1].weight.requires_grad_(False)
    read_modality(model, "flow", 3)
    assert not first_convolution(model)[1].weight.requires_grad
    free = backbone()
    read_modality(free, "flow", 3)
    conv = first_convolution(free)[1]
    free(torch.randn(1, 6, 32, 32)).sum().backward()
    assert conv.weight.is_leaf
    assert not torch.equal(conv.weight.grad[:, 0], conv.weight.grad[:, 1])  # type: ignore[index]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("temporal", ["tin", "tsm", "tsn"])
def test_a_classifier_of_flow_reads_clips_of_ten_channels(name: str, temporal: str) -> None:
    side = 160 if name == "test_vit" else 32
    model = VideoClassifier(name, temporal, 4, 2, modality="flow").eval()  # type: ignore[arg-type]
    assert model(torch.rand(2, 2, 10, side, side)).shape == (2, 4)
    with pytest.raises((ValueError, RuntimeError), match="10"):
        model(torch.rand(2, 2, 3, side, side))


def test_weights_of_rgb_are_turned_and_weights_of_flow_are_not(tmp_path: Path) -> None:
    rgb = VideoClassifier("test_resnet", "tsn", 4, 2)
    torch.save(rgb.state_dict(), tmp_path / "rgb.pth")
    flow = VideoClassifier("test_resnet", "tin", 4, 2, pretrained=tmp_path / "rgb.pth", modality="flow", flow_length=2)
    theirs, ours = first_convolution(rgb.backbone)[1].weight, first_convolution(flow.backbone)[1].weight
    torch.testing.assert_close(ours, turn_rgb_weight(theirs, 4))
    torch.save(flow.state_dict(), tmp_path / "flow.pth")
    again = VideoClassifier(
        "test_resnet", "tin", 4, 2, pretrained=tmp_path / "flow.pth", modality="flow", flow_length=2
    )
    assert all(torch.equal(again.state_dict()[key], value) for key, value in flow.state_dict().items())


def test_what_cannot_be_is_said() -> None:
    model = backbone()
    with pytest.raises(UserError, match="did you mean 'flow'"):
        read_modality(model, "flows")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="flow_length is 0"):
        read_modality(model, "flow", 0)
    read_modality(model, "flow")
    with pytest.raises(UserError, match=r"conv1\.0, reads 10 channels"):
        read_modality(model, "flow")
    with pytest.raises(UserError, match="no convolution"):
        first_convolution(nn.Linear(3, 3))


def test_the_pixels_of_each_modality() -> None:
    rgb = pixels_of(VideoClassifier("resnet18", "tsn", 4, 2))
    assert (rgb.channels, rgb.difference) == (3, False)
    assert (rgb.mean, rgb.std) == data_config(VideoClassifier("resnet18", "tsn", 4, 2))
    flow = pixels_of(VideoClassifier("resnet18", "tsn", 4, 2, modality="flow"))
    assert (flow.channels, flow.difference, flow.mean) == (10, False, (0.5,) * 10)
    assert flow.std == pytest.approx((0.226,) * 10)
    diff = pixels_of(VideoClassifier("resnet18", "tsn", 4, 2, modality="rgb_diff"))
    assert (diff.channels, diff.difference, diff.mean, diff.std) == (18, True, (0.0,) * 15, (1.0,) * 15)
    assert pixels_of(Video3D("r3d_10", 4, 4)).channels == 3


def test_differences_are_each_frame_less_the_one_before() -> None:
    frames = torch.rand(2, 18, 5, 4).to(memory_format=torch.channels_last)
    found = differences(frames)
    for step in range(5):
        for colour in range(3):
            wanted = frames[:, 3 * (step + 1) + colour] - frames[:, 3 * step + colour]
            assert torch.equal(found[:, 3 * step + colour], wanted)
    assert found.shape == (2, 15, 5, 4)
    assert found.is_contiguous(memory_format=torch.channels_last)
