"""Every loss a number at a time, from the papers' formulas: what the fast ones are held against."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinkit.metrics import Task
from tinkit.recipe.training import LossConfig

MULTI: Task = "multi-label"
SINGLE: Task = "single-label"
COUNTS = np.array([1, 5000, 40, 0, 7])
CLASSES = len(COUNTS)
# every loss with the tasks it is for, and settings that differ from the defaults
SETTINGS: list[tuple[Task, dict[str, Any]]] = [
    (MULTI, {"name": "bce"}),
    (SINGLE, {"name": "bce", "label_smoothing": 0.2}),
    (MULTI, {"name": "bce", "reduction": "sum", "class_balance": 0.99, "label_smoothing": 0.1}),
    (MULTI, {"name": "focal"}),
    (SINGLE, {"name": "focal", "gamma": 1.0, "alpha": 0.25, "class_balance": 0.9}),
    (MULTI, {"name": "focal", "gamma": 0.0, "alpha": 0.9, "reduction": "sum"}),
    (MULTI, {"name": "asymmetric"}),
    (MULTI, {"name": "asymmetric", "gamma_pos": 0.0, "gamma_neg": 1.0, "margin": 0.0, "reduction": "sum"}),
    (MULTI, {"name": "asymmetric", "gamma_pos": 0.0, "gamma_neg": 0.0, "class_balance": 0.999}),
    (MULTI, {"name": "bce", "weight": 160.0}),
    (MULTI, {"name": "lsep"}),
    (MULTI, {"name": "wlsep", "weight": 0.25}),
    (MULTI, {"name": "wlsep", "class_balance": 0.99}),
    (SINGLE, {"name": "cross_entropy"}),
    (SINGLE, {"name": "cross_entropy", "label_smoothing": 0.1, "class_balance": 0.99}),
]


def slow(task: Task, settings: dict[str, Any], logits: list[list[float]], targets: list[list[float]]) -> float:
    """The sum over clips, a number at a time, from the papers' formulas."""
    config = LossConfig(**settings)
    weights = [1.0] * CLASSES
    if (beta := config.class_balance) is not None:
        rare = [(1 - beta) / (1 - beta ** int(n)) if n else None for n in COUNTS]
        known = [weight for weight in rare if weight is not None]
        weights = [1.0 if weight is None else weight * len(known) / sum(known) for weight in rare]
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        even = 1 / CLASSES if task == "single-label" else 0.5
        wanted = [(1 - config.label_smoothing) * y + config.label_smoothing * even for y in target]
        if config.name == "cross_entropy":
            norm = math.log(sum(math.exp(x) for x in row))
            total += sum(-w * y * (x - norm) for w, x, y in zip(weights, row, wanted, strict=True))
            continue
        if config.name in ("lsep", "wlsep"):
            total += slow_ranking(config.name, row, wanted, weights)
            continue
        each = [slow_class(config, x, y) * w for x, y, w in zip(row, wanted, weights, strict=True)]
        total += sum(each) if config.reduction == "sum" else sum(each) / CLASSES
    return total * config.weight


def slow_ranking(name: str, row: list[float], target: list[float], weights: list[float]) -> float:
    """Pairs of classes, one at a time; a target between 0 and 1 is a class by that share, and another by the rest."""
    pairs = [
        [y * (1 - other) * math.exp(f_v - f_u) for f_v, other in zip(row, target, strict=True)]
        for f_u, y in zip(row, target, strict=True)
    ]
    if name == "lsep":
        return math.log(1 + sum(sum(of_u) for of_u in pairs))
    if not any(target):
        return 0.0
    each = [math.log(1 + sum(of_u) / y) if y else 0.0 for of_u, y in zip(pairs, target, strict=True)]
    return sum(w * y * x for w, y, x in zip(weights, target, each, strict=True)) / sum(target)


def slow_class(config: LossConfig, x: float, y: float) -> float:
    p = 1 / (1 + math.exp(-x))
    if config.name == "asymmetric":
        shifted = max(p - config.margin, 0)
        entropy = -y * math.log(p) - (1 - y) * math.log(1 - shifted)
        sure = y * p + (1 - y) * (1 - shifted)
        return entropy * (1 - sure) ** (config.gamma_pos * y + config.gamma_neg * (1 - y))
    entropy = -y * math.log(p) - (1 - y) * math.log(1 - p)
    if config.name == "bce":
        return entropy
    alpha = 1.0 if config.alpha is None else config.alpha * y + (1 - config.alpha) * (1 - y)
    return alpha * (1 - (p * y + (1 - p) * (1 - y))) ** config.gamma * entropy


def targets_for(task: Task, rows: int, kind: str, rng: np.random.Generator) -> Tensor:
    """(rows, C) float32: hard or soft."""
    if kind == "soft":
        drawn = rng.random((rows, CLASSES))
        return torch.tensor(drawn / drawn.sum(1, keepdims=True) if task == SINGLE else drawn, dtype=torch.float32)
    if task == SINGLE:
        return functional.one_hot(torch.tensor(rng.integers(CLASSES, size=rows)), CLASSES).float()
    return torch.tensor(rng.integers(2, size=(rows, CLASSES)), dtype=torch.float32)
