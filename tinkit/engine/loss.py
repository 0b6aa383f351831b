"""Losses as sums over the valid clips, so that a step's loss is the global sum over the global count."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tinkit.engine.config import LossConfig
from tinkit.errors import UsageError


def loss_name(config: LossConfig, task: str) -> str:
    """The loss's name with the task's default filled in; refuses cross-entropy on multi-label targets."""
    name = config.name or ("bce" if task == "multi-label" else "cross_entropy")
    if name == "cross_entropy" and task == "multi-label":
        raise UsageError(
            "loss.name = 'cross_entropy' needs one label a clip, and this data set has several", expected="bce"
        )
    return name


def loss_sum(name: str, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """The sum of the valid clips' losses, in float32: a scalar.

    logits (B, C); labels (B, C) of 0 and 1, or (B,) class indices; valid (B,) bool. ``bce`` is the binary
    cross-entropy averaged over classes, so that its mean over clips is the mean over clips and classes.
    """
    logits = logits.float()
    match name:
        case "bce":
            target = labels if labels.dim() == 2 else functional.one_hot(labels, logits.shape[1])
            each = functional.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").mean(1)
        case "cross_entropy":
            each = functional.cross_entropy(logits, labels, reduction="none")
        case _:
            raise ValueError(f"unknown loss {name!r}")
    return torch.where(valid, each, 0).sum()
