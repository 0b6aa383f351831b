"""Parameter groups by name, and the learning rate at every step against the published formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tinkit.engine.config import OptimConfig, ScheduleConfig
from tinkit.engine.optim import LearningRate, build_optimizer, parameter_groups
from tinkit.errors import UsageError
from tinkit.models import VideoClassifier, freeze_partial_bn


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


@pytest.mark.parametrize("steps", [7, 50])
@pytest.mark.parametrize("warm", [0, 1, 2.5])
def test_cosine_at_every_step(steps: int, warm: float) -> None:
    config, schedule = optim(), ScheduleConfig(kind="cosine", warmup_epochs=warm, warmup_start=0.1)
    check_every_step(config, schedule, steps)


@pytest.mark.parametrize("warm", [0, 1])
def test_steps_at_every_step(warm: float) -> None:
    schedule = ScheduleConfig(kind="step", warmup_epochs=warm, milestones=(3, 6.5), factor=0.2)
    check_every_step(optim(), schedule, 10)


def check_every_step(config: OptimConfig, schedule: ScheduleConfig, steps: int) -> None:
    optimizer = build_optimizer(classifier("test_resnet"), config)
    rate = LearningRate(optimizer, config, schedule, steps)
    warm = round(schedule.warmup_epochs * steps)
    for step in range(config.epochs * steps):
        if step < warm:
            wanted = config.lr * (schedule.warmup_start + (1 - schedule.warmup_start) * step / warm)
        elif schedule.kind == "cosine":
            done = (step - warm) / (config.epochs * steps - warm)
            wanted = 0.5 * config.lr * (1 + math.cos(math.pi * done))
        else:
            wanted = config.lr * schedule.factor ** sum(step >= round(m * steps) for m in schedule.milestones)
        rate.set(step)
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(wanted * group["lr_scale"], abs=1e-12), step


def test_rate_depends_on_the_step_alone() -> None:
    config, schedule = optim(), ScheduleConfig(warmup_epochs=1)
    first, second = (build_optimizer(classifier("test_resnet"), config) for _ in range(2))
    walked, jumped = LearningRate(first, config, schedule, 5), LearningRate(second, config, schedule, 5)
    for step in range(23):
        walked.set(step)
    jumped.set(22)
    assert [group["lr"] for group in first.param_groups] == [group["lr"] for group in second.param_groups]
