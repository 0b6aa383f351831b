"""BatchNorm merged into convolutions: the same logits from every kind of ResNet, and what may not be merged is left."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.named_weights import give_named_weights, named_video
from tinkit.models import VideoClassifier
from tinkit.models.batch_norm import merge_batch_norm

SEGMENTS = 4


def classifier(backbone: str, temporal: str = "tin", place: str = "conv1") -> VideoClassifier:
    """A network whose statistics, weights and biases of BatchNorm are none of them trivial."""
    model = VideoClassifier(backbone, temporal, num_classes=7, num_segments=SEGMENTS, place=place)  # type: ignore[arg-type]
    give_named_weights(model)
    with torch.no_grad():
        for norm in norms(model):
            norm.running_mean.add_(0.3 * torch.randn_like(norm.running_mean))
            norm.weight.mul_(torch.randn_like(norm.weight).sign())
    return model.eval()


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.inference_mode()
def logits(model: VideoClassifier, size: int = 64) -> Tensor:
    return model(named_video("merging", 2, SEGMENTS, size).to(next(model.parameters()).dtype))


def agree(model: VideoClassifier, merged: VideoClassifier) -> None:
    wanted, found = logits(model), logits(merged)
    assert torch.isfinite(wanted).all()
    assert wanted.std() > 1e-3  # there is something to differ in
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.thorough
@pytest.mark.parametrize("temporal", ["tsn", "tsm", "tin"])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet50d", "resnet101"])
def test_logits_are_the_same_and_no_norm_is_left(backbone: str, temporal: str) -> None:
    model = classifier(backbone, temporal)
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert norms(merged) == []
    agree(model, merged)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("backbone", "left"),
    [
        ("resnetblur18", 0),  # the blur comes after the norm
        ("seresnet18", 0),
        ("seresnet50t", 0),  # a tiered stem, average pooling in the shortcuts
        ("resnetaa50d", 0),
        ("resnetrs50", 0),  # a stem without max-pooling, squeeze and excitation
        ("ecaresnet26t", 0),
        ("test_resnet", 0),
    ],
)
def test_variants_of_blocks(backbone: str, left: int) -> None:
    model = classifier(backbone)
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert len(norms(merged)) == left
    agree(model, merged)


def test_a_temporal_module_in_another_place() -> None:
    model = classifier("resnet26", place="conv2")
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    agree(model, merged)


def test_the_layout_of_the_weights_stays() -> None:
    model = classifier("resnet18").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    block = merged.backbone.get_submodule("layer1.0")
    assert block.conv2.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]
    assert not any(parameter.requires_grad for parameter in block.conv2.parameters())  # type: ignore[union-attr]
    agree(model, merged)


def test_rounding_is_that_of_one_division() -> None:
    """Merged in float32 from the same numbers, float64's logits are as near as float32 lets them."""
    model = classifier("resnet18")
    exact = logits(copy.deepcopy(model).double())
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    limit = 4 * (logits(model) - exact).abs().max()
    assert (logits(merged) - exact).abs().max() <= limit


def test_what_does_not_directly_follow_a_convolution_is_left() -> None:
    """A norm behind a blur, one that a hook watches, one of a block that timm did not make."""
    model = classifier("resnet18")
    first, second = (model.backbone.get_submodule(f"layer1.{index}") for index in (0, 1))
    first.conv1 = nn.Sequential(first.conv1, nn.AvgPool2d(3, 1, 1))  # type: ignore[arg-type]
    seen: list[Tensor] = []
    second.bn2.register_forward_hook(lambda _module, _inputs, out: seen.append(out))  # type: ignore[union-attr]
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert len(norms(merged)) == 2
    agree(model, merged)
    assert len(seen) == 2


def test_blocks_of_another_kind_are_left() -> None:
    model = classifier("resnet18")
    block = model.backbone.get_submodule("layer2.1")

    class Turned(type(block)):  # type: ignore[misc]
        """Calls its norms in another order."""

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv2(self.bn2(self.act1(self.conv1(self.bn1(x)))))

    block.__class__ = Turned
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert [name for name, module in merged.named_modules() if isinstance(module, nn.BatchNorm2d)] == [
        "backbone.layer2.1.bn1",
        "backbone.layer2.1.bn2",
    ]
    agree(model, merged)


def test_a_norm_without_weights_and_a_convolution_with_a_bias() -> None:
    model = classifier("resnet18")
    block = model.backbone.get_submodule("layer3.1")
    channels = block.bn2.num_features
    block.bn2 = nn.BatchNorm2d(channels, affine=False).eval()  # type: ignore[arg-type]
    block.bn2.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    block.conv2.bias = nn.Parameter(torch.randn(channels))  # type: ignore[union-attr]
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert norms(merged) == []
    agree(model, merged)


def test_statistics_of_the_batch_cannot_be_merged() -> None:
    model = classifier("resnet18")
    model.backbone.bn1 = nn.BatchNorm2d(64, track_running_stats=False).eval()
    merged = copy.deepcopy(model)
    merge_batch_norm(merged)
    assert norms(merged) == [merged.backbone.bn1]
    agree(model, merged)


@pytest.mark.parametrize("part", ["model", "one norm"])
def test_training_mode_is_refused(part: str) -> None:
    model = classifier("resnet18")
    (model if part == "model" else norms(model)[3]).train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="evaluation"):
        merge_batch_norm(model)
    assert model.state_dict().keys() == before.keys()


def test_a_model_is_merged_once() -> None:
    model = classifier("resnet18")
    merge_batch_norm(model)
    again = copy.deepcopy(model)
    merge_batch_norm(again)
    assert torch.equal(logits(model), logits(again))
