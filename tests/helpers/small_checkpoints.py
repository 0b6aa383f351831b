"""A small network and its optimiser, trained a little, for the tests of checkpoints."""

from __future__ import annotations

import torch
from torch import nn

from tinkit.timm_import import import_timm

INFO = {"classes": ["a", "é/+", '"sha256":"'], "clips": {"count": 3}}


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    return model.to(memory_format=torch.channels_last)


def build(name: str, model: nn.Module) -> torch.optim.Optimizer:
    import_timm()
    from timm.optim import create_optimizer_v2

    return create_optimizer_v2(model, opt=name, lr=0.05, momentum=0.9, weight_decay=0.01)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        optimizer.zero_grad()
        video = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
        model(video.to(memory_format=torch.channels_last)).square().mean().backward()
        optimizer.step()


def trained(name: str = "momentum") -> tuple[nn.Module, torch.optim.Optimizer]:
    model = small()
    optimizer = build(name, model)
    train(model, optimizer, range(3))
    return model, optimizer
