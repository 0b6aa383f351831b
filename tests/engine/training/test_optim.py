"""Parameter groups by name, and what the optimiser makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinkit.engine.training.optim import build_optimizer, parameter_groups
from tinkit.errors import UsageError
from tinkit.models import VideoClassifier, freeze_partial_bn
from tinkit.recipe.training import OptimConfig


def classifier(backbone: str = "resnet18", temporal: str = "tin") -> VideoClassifier:
    return VideoClassifier(backbone=backbone, temporal=temporal, num_classes=5, num_segments=4, pretrained=False)


def optim(**changes: object) -> OptimConfig:
    return OptimConfig.model_validate({"lr": 0.02, "batch": 4, "epochs": 10} | changes)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet101"])
def test_groups_by_name_are_the_published_ones(backbone: str) -> None:
    model = classifier(backbone)
    groups = {group["group_name"]: group for group in parameter_groups(model, optim())}
    by_parameter = {id(p): group for group in groups.values() for p in group["params"]}
    for name, parameter in model.named_parameters():
        group = by_parameter[id(parameter)]
        found = (group["lr_scale"], group["weight_decay"] / 5e-4)
        if name == "classifier.weight":
            assert found == (5, 1), name
        elif name == "classifier.bias":
            assert found == (10, 0), name
        elif ".bn" in name or "downsample.1" in name:
            assert found == (1, 0), name
        elif name.endswith(".bias"):  # of the steering networks: a ResNet's own convolutions have none
            assert found == (2, 0), name
        else:
            assert found == (1, 1), name
    assert groups["first_conv_weight"]["params"] == [model.backbone.conv1.weight]
    assert sum(len(group["params"]) for group in groups.values()) == len(list(model.parameters()))


def test_centres_and_gains_of_rtcn_do_not_decay() -> None:
    model = classifier(temporal="rtcn")
    groups = {group["group_name"]: group for group in parameter_groups(model, optim())}
    steering = {id(p) for name, p in model.named_parameters() if ".temporal." in name}
    assert len(steering) == 2 * 8
    assert steering <= {id(p) for p in groups["bias"]["params"]}


@pytest.mark.parametrize(
    ("backbone", "temporal", "weights", "biases", "norms"),
    [
        # 20, 53, 104 convolutions; TIN adds two of one dimension and two Linear layers to each of 8, 16, 33 blocks
        ("resnet18", "tin", 19 + 4 * 8, 4 * 8, 2 * 20),
        ("resnet50", "tin", 52 + 4 * 16, 4 * 16, 2 * 53),
        ("resnet101", "tin", 103 + 4 * 33, 4 * 33, 2 * 104),
        ("resnet50", "tsm", 52, 0, 2 * 53),
        ("resnet50", "tsn", 52, 0, 2 * 53),
    ],
)
def test_groups_hold_as_many_parameters_as_the_layers_have(
    backbone: str, temporal: str, weights: int, biases: int, norms: int
) -> None:
    groups = parameter_groups(classifier(backbone, temporal), optim())
    wanted = {"first_conv_weight": 1, "weight": weights, "bias": biases, "norm": norms}
    wanted |= {"classifier_weight": 1, "classifier_bias": 1}
    assert {group["group_name"]: len(group["params"]) for group in groups} == {k: n for k, n in wanted.items() if n}


def test_a_first_convolution_with_a_bias_has_a_group_of_its_own() -> None:
    model = classifier("test_resnet")
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.bias = nn.Parameter(torch.zeros(first.out_channels))
    groups = {group["group_name"]: group for group in parameter_groups(model, optim())}
    assert groups["first_conv_bias"]["params"] == [first.bias]
    assert (groups["first_conv_bias"]["lr_scale"], groups["first_conv_bias"]["weight_decay"]) == (2, 0)


def test_the_optimiser_keeps_the_groups_and_their_decay() -> None:
    model = classifier("test_resnet")
    for config in (optim(), optim(groups="single"), optim(name="adamw", weight_decay=0.05)):
        wanted = parameter_groups(model, config)
        found = build_optimizer(model, config).param_groups
        assert len(found) == len(wanted)
        for ours, theirs in zip(wanted, found, strict=True):
            assert [id(parameter) for parameter in theirs["params"]] == [id(p) for p in ours["params"]]
            for key in ("weight_decay", "lr_scale", "group_name"):
                assert theirs[key] == ours[key], key
    assert not [group for group in build_optimizer(model, optim(weight_decay=0)).param_groups if group["weight_decay"]]


def test_fine_tuned_classifier_single_group_and_frozen_norms() -> None:
    model = classifier()
    tuned = {group["group_name"]: group for group in parameter_groups(model, optim(fc_lr5=False))}
    assert any(parameter is model.classifier.weight for parameter in tuned["weight"]["params"])
    assert any(parameter is model.classifier.bias for parameter in tuned["bias"]["params"])
    (single,) = parameter_groups(model, optim(groups="single"))
    assert (single["lr_scale"], single["weight_decay"]) == (1, 5e-4)
    freeze_partial_bn(model)
    frozen = {group["group_name"]: group for group in parameter_groups(model, optim())}
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert {id(p) for p in frozen["norm"]["params"]} == {id(first.weight), id(first.bias)}


def test_sgd_is_with_or_without_nesterov_and_unknown_names_are_refused() -> None:
    model = classifier("test_resnet")
    assert not build_optimizer(model, optim()).param_groups[0]["nesterov"]
    assert build_optimizer(model, optim(nesterov=True)).param_groups[0]["nesterov"]
    assert build_optimizer(model, optim()).param_groups[0]["momentum"] == 0.9
    assert isinstance(build_optimizer(model, optim(name="adamw")), torch.optim.AdamW)
    with pytest.raises(UsageError, match="sgd"):
        build_optimizer(model, optim(name="sgdd"))
