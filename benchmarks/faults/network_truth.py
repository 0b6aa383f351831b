"""A TIN in plain PyTorch, whose every module is called: what a changed network is compared with."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tinkit.models import TemporalConv2d, TemporalInterlace, VideoClassifier

CLASSES, FRAMES, SIDE = 5, 4, 32


class PlainOffsets(nn.Module):
    """OffsetNet's modules, called one after the other."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = net.conv, net.fc1, net.fc2

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, T) -> (B, 4)."""
        z = self.fc2(self.fc1(self.conv(clips).flatten(1)).relu())
        offset = 4 * (z.sigmoid() - 0.5)
        return torch.cat([offset, -offset], 1)


class PlainGains(nn.Module):
    """GainNet's module, called."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.conv = net.conv

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, T) -> (B, T, 4)."""
        gain = 2 * self.conv(clips).sigmoid().transpose(1, 2)
        return torch.cat([gain, gain], 2)


class PlainInterlace(nn.Module):
    """What ``temporal`` does, as sums over frames by a matrix of triangles; the names of its modules are the same."""

    def __init__(self, temporal: TemporalInterlace) -> None:
        super().__init__()
        self.num_segments, self.fold = temporal.num_segments, temporal.fold
        self.offset_net, self.gain_net = PlainOffsets(temporal.offset_net), PlainGains(temporal.gain_net)
        self.steering = temporal.steering

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W)."""
        pooled = x[:, : self.fold].mean((2, 3)).unflatten(0, (-1, self.num_segments)).transpose(1, 2)
        offset, gain = self.steering(self.offset_net(pooled), self.gain_net(pooled))
        time = torch.arange(self.num_segments, device=x.device)
        apart = time[:, None] - time - offset[..., None, None]  # (B, G, output, input)
        matrix = (1 - apart.abs()).clamp(min=0) * gain.transpose(1, 2)[..., None]
        moving = x[:, : self.fold].unflatten(0, (-1, self.num_segments)).unflatten(2, (4, -1))
        moved = torch.einsum("bgts,bsgchw->btgchw", matrix.to(x.dtype), moving).flatten(2, 3).flatten(0, 1)
        return torch.cat([moved, x[:, self.fold :]], 1)


class PlainConv2d(nn.Conv2d):
    """A convolution that calls its temporal module."""

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> what the convolution makes of the moved features."""
        return super().forward(self.temporal(x))


def network(backbone: str = "resnet18", temporal: str = "tin", **settings: Any) -> VideoClassifier:
    """Random, in evaluation mode, with weights and statistics that let every module matter."""
    torch.manual_seed(0)
    settings = {"dropout": 0, "zero_init_last": False, "classifier_std": 0.1, **settings}
    model = VideoClassifier(backbone, temporal, CLASSES, FRAMES, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.6, 1.4)
            if isinstance(module, TemporalInterlace):
                for parameter in module.parameters():
                    parameter.normal_(std=0.3)
    return model.eval()


def plain(model: VideoClassifier) -> VideoClassifier:
    """A copy of ``model`` with its weights, of which tinkit computes nothing but the consensus."""
    model = copy.deepcopy(model)
    for module in list(model.backbone.modules()):
        if type(module) is TemporalConv2d:
            module.__class__ = PlainConv2d
            if isinstance(module.temporal, TemporalInterlace):
                module.temporal = PlainInterlace(module.temporal)
    return model


def video(clips: int = 2, seed: int = 1) -> Tensor:
    """(B, T, 3, 32, 32)."""
    return torch.randn(clips, FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def difference(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest of what is wanted."""
    found, wanted = found.detach().double(), wanted.detach().double()
    return float((found - wanted).abs().max() / wanted.abs().max())
