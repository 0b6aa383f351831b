"""TIN and its training in ordinary PyTorch and timm, written from the specification alone: what tinkit must agree with.

Short on purpose, so that it can be checked by reading. Of tinkit nothing is used but what makes timm importable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable


import torch
from torch import Tensor, nn

from tinkit.timm_import import import_timm


class Tin(nn.Module):
    """A convolution behind the interlacing of a quarter of its input: (B*T, C, H, W)."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.conv, self.frames, self.fold = conv, frames, conv.in_channels // 4
        convs = [nn.Conv1d(self.fold, width, 3, padding=1) for width in (1, 2)]
        self.offset_net = nn.ModuleDict({"conv": convs[0], "fc1": nn.Linear(frames, frames), "fc2": nn.Linear(frames, 2)})
        self.gain_net = nn.ModuleDict({"conv": convs[1]})

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(0, (-1, self.frames))
        pooled = x[:, :, : self.fold].mean((3, 4)).transpose(1, 2)  # (B, F, T)
        net = self.offset_net
        o = 4 * (torch.sigmoid(net["fc2"](torch.relu(net["fc1"](net["conv"](pooled).squeeze(1))))) - 0.5)
        w = 2 * torch.sigmoid(self.gain_net["conv"](pooled)).transpose(1, 2)
        offset, weight = torch.cat([o, -o], 1), torch.cat([w, w], 2)[..., None, None, None]  # (B, G), (B, T, G, ...)
        k = offset.floor()
        r = (offset - k)[:, None, :, None, None, None]
        groups = x[:, :, : self.fold].unflatten(2, (4, -1))  # (B, T, G, F/G, H, W)
        source = torch.arange(self.frames)[:, None] - k.long()[:, None]  # (B, T, G)

        def frame(index: Tensor) -> Tensor:
            inside = ((index >= 0) & (index < self.frames))[..., None, None, None]
            index = index.clamp(0, self.frames - 1)[..., None, None, None].expand_as(groups)
            return groups.gather(1, index) * inside

        y = weight * ((1 - r) * frame(source) + r * frame(source - 1))
        return self.conv(torch.cat([y.flatten(2, 3), x[:, :, self.fold :]], 2).flatten(0, 1))


class Classifier(nn.Module):
    """The mean over frames of each frame's logits; ``start`` are tinkit's weights to start from."""

    def __init__(self, backbone: str, frames: int, classes: int, start: dict[str, Tensor]) -> None:
        super().__init__()
        self.backbone = import_timm().create_model(backbone, num_classes=0)
        for layer in (self.backbone.layer1, self.backbone.layer2, self.backbone.layer3, self.backbone.layer4):
            for block in layer:
                block.conv1 = Tin(block.conv1, frames)
        self.classifier = nn.Linear(self.backbone.num_features, classes)
        names = {name: re.sub(r"(layer\d\.\d+\.conv1)\.weight", r"\1.conv.weight", name) for name in start}
        self.load_state_dict({names[name].replace(".temporal", ""): tensor for name, tensor in start.items()})

    def forward(self, video: Tensor) -> Tensor:
        return self.classifier(self.backbone(video.flatten(0, 1))).unflatten(0, video.shape[:2]).mean(1)


def published_groups(model: Classifier) -> list[dict]:
    """Learning rate and decay as published: biases 2 and 0, BatchNorm 1 and 0, the classifier 5 and 1, and 10 and 0."""
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    groups = []
    for name, parameter in model.named_parameters():
        bias = name.endswith("bias")
        scale = (10 if bias else 5) if name.startswith("classifier") else 1 if id(parameter) in norms or not bias else 2
        groups.append({"params": [parameter], "scale": scale, "decay": not bias and id(parameter) not in norms})
    return groups


def plain_losses(
    model: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    rate: Callable[[int], float],
    *,
    published: bool,
    nesterov: bool,
) -> list[float]:
    """The loss of every step; ``published``: parameter groups and partial BN. Batches: uint8 frames, labels of 0, 1."""
    groups = published_groups(model) if published else [{"params": list(model.parameters()), "scale": 1, "decay": True}]
    for group in groups:
        group["weight_decay"] = 5e-4 * group["decay"]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=nesterov)
    model.train()
    for norm in [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)][1:] if published else []:
        norm.eval().requires_grad_(False)
    losses = []
    for step, (frames, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(step) * group["scale"]
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model((frames / 255 - 0.5) / 0.5), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def cosine(lr: float, epochs: int, steps: int) -> Callable[[int], float]:
    """One epoch of linear warm-up from a tenth, then half a cosine to zero, by iteration."""

    def rate(step: int) -> float:
        e = step / steps
        return lr * (0.1 + 0.9 * e) if e < 1 else 0.5 * lr * (1 + math.cos(math.pi * (e - 1) / (epochs - 1)))

    return rate


def steps_down(lr: float, milestones: tuple[int, ...], steps: int) -> Callable[[int], float]:
    """One epoch of linear warm-up from a tenth, then a tenth of the rate at each of the epochs."""

    def rate(step: int) -> float:
        e = step / steps
        return lr * (0.1 + 0.9 * e) if e < 1 else lr * 0.1 ** sum(e >= milestone for milestone in milestones)

    return rate
