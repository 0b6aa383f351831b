"""Training and TIN in ordinary PyTorch, written from the papers' rules alone: what tinkit must agree with.

Short on purpose, so that it can be checked by reading. Of tinkit nothing is used but what makes timm importable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tinkit.timm_import import import_timm


def plain_losses(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    rate: Callable[[float], float],
    *,
    steps_an_epoch: int,
    published: bool,
    nesterov: bool,
) -> list[float]:
    """The loss of every step of a multi-label training by SGD, momentum 0.9, decay 5e-4, gradients clipped to 20.

    Batches are uint8 frames (B, T, 3, H, W) and labels (B, C) of 0 and 1; ``rate`` is the learning rate by epoch, a
    fraction. ``published``: parameter groups, and every BatchNorm but the first frozen.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4:  # as tinkit has them: another order of memory rounds differently
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    model.train()
    groups: list[dict[str, Any]] = [{"params": list(model.parameters()), "scale": 1, "weight_decay": 5e-4}]
    if published:
        groups = _published_groups(model)
        for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)][1:]:
            norm.eval().requires_grad_(False)
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=nesterov)
    losses = []
    for step, (frames, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(step / steps_an_epoch) * group["scale"]
        optimizer.zero_grad()
        logits = model((frames - 127.5) * (1 / 127.5))  # the backbone's mean and standard deviation are 0.5
        each = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
        loss = each.sum() / len(labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def _published_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Biases learn at 2 times the rate, the classifier at 5 and 10 times; only weights of no BatchNorm decay."""
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    groups: list[dict[str, Any]] = []
    for name, p in model.named_parameters():
        bias, norm = name.endswith("bias"), id(p) in norms
        scale = 1 if norm else 2 if bias else 1
        if name.startswith("classifier"):
            scale = 10 if bias else 5
        groups.append({"params": [p], "scale": scale, "weight_decay": 0.0 if bias or norm else 5e-4})
    return groups


class PlainClassifier(nn.Module):
    """A timm ResNet with a TIN in every block, and the mean over frames of each frame's logits.

    ``start`` are tinkit's weights, by tinkit's names.
    """

    def __init__(self, backbone: str, frames: int, start: dict[str, Tensor]) -> None:
        super().__init__()
        self.backbone = import_timm().create_model(backbone, num_classes=0)
        for layer in (self.backbone.layer1, self.backbone.layer2, self.backbone.layer3, self.backbone.layer4):
            for block in layer:
                block.conv1 = PlainTin(block.conv1, frames)
        self.classifier = nn.Linear(self.backbone.num_features, len(start["classifier.bias"]))
        ours = {re.sub(r"(layer\d\.\d+\.conv1)\.weight", r"\1.conv.weight", name): start[name] for name in start}
        self.load_state_dict({name.replace(".temporal", ""): tensor for name, tensor in ours.items()})

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, H, W) to (B, C)."""
        logits: Tensor = self.classifier(self.backbone(video.flatten(0, 1)))
        return logits.unflatten(0, video.shape[:2]).mean(1)


class PlainTin(nn.Module):
    """A convolution behind the interlacing of a quarter of its input, (B*T, C, H, W), by gathering frames."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.conv, self.frames, self.fold = conv, frames, conv.in_channels // 4
        self.gain_net = nn.ModuleDict({"conv": nn.Conv1d(self.fold, 2, 3, padding=1)})
        self.offset_net = nn.ModuleDict({"conv": nn.Conv1d(self.fold, 1, 3, padding=1)})
        self.offset_net.update({"fc1": nn.Linear(frames, frames), "fc2": nn.Linear(frames, 2)})

    def forward(self, x: Tensor) -> Tensor:
        """What the convolution makes of the interlaced frames."""
        x = x.unflatten(0, (-1, self.frames))
        pooled = x[:, :, : self.fold].mean((3, 4)).transpose(1, 2)  # (B, F, T)
        net = self.offset_net
        z = net["fc2"](torch.relu(net["fc1"](net["conv"](pooled).squeeze(1))))
        o, w = 4 * (torch.sigmoid(z) - 0.5), 2 * torch.sigmoid(self.gain_net["conv"](pooled)).transpose(1, 2)
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
        moved: Tensor = self.conv(torch.cat([y.flatten(2, 3), x[:, :, self.fold :]], 2).flatten(0, 1))
        return moved
