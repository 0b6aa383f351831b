"""A TIN the published way, in plain PyTorch: what the models of tinkit are compared with.

    python -m benchmarks.reference_tin THREADS

The published operator (a CUDA kernel, launched twice) gathers the fold's frames at `floor(offset)` and the frames
before those, each into a full output of its own, weighs and adds them, and puts the rest of the channels beside. Its
steering networks are two Conv1d and two Linear, called one by one. The rest of the network is timm's.

As a program this is the other side of a row that is timed in pairs: a process in which nothing is set, PyTorch's
defaults apart from the number of threads. For each line that it reads it runs 2 clips and writes the milliseconds.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from tinkit.models import TemporalConv2d, TemporalInterlace, VideoClassifier

CLIPS, FRAMES, SIZE, CLASSES = 2, 8, 224, 313


def two_gathers(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """The interlacing of x (B*T, C, H, W) by offset (B, G) and gain (B, T, G), differentiable by autograd."""
    clips, frames, groups = gain.shape
    moving = x[:, :fold].unflatten(0, (clips, frames)).unflatten(2, (groups, fold // groups))
    whole = offset.floor().detach()
    part = (offset - whole)[:, None, :, None, None, None]
    first = torch.arange(frames)[None, :, None] - whole[:, None].long()
    clip, group = torch.arange(clips)[:, None, None], torch.arange(groups)

    def read(frame: Tensor) -> Tensor:
        inside = (frame >= 0) & (frame < frames)
        return moving[clip, frame.clamp(0, frames - 1), group] * inside[..., None, None, None]

    moved = gain[..., None, None, None] * ((1 - part) * read(first) + part * read(first - 1))
    out = torch.empty_like(x)
    out[:, :fold] = moved.flatten(2, 3).flatten(0, 1)
    out[:, fold:] = x[:, fold:]
    return out


class PublishedInterlace(nn.Module):
    """What ``temporal`` does, with the same weights, one operation after the other."""

    def __init__(self, temporal: TemporalInterlace) -> None:
        super().__init__()
        self.num_segments, self.fold = temporal.num_segments, temporal.fold
        self.offset_net, self.gain_net = temporal.offset_net, temporal.gain_net

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W)."""
        pooled = x[:, : self.fold].mean((2, 3)).unflatten(0, (-1, self.num_segments)).transpose(1, 2)
        net = self.offset_net
        z = net.fc2(torch.relu(net.fc1(net.conv(pooled).squeeze(1))))
        offset = 4 * (torch.sigmoid(z) - 0.5)
        gain = 2 * torch.sigmoid(self.gain_net.conv(pooled)).transpose(1, 2)
        return two_gathers(x, torch.cat([offset, -offset], 1), torch.cat([gain, gain], 2), self.fold)


class PlainClassifier(nn.Module):
    """A classifier's weights in timm's own ``forward``, without any of tinkit's operators."""

    def __init__(self, model: VideoClassifier) -> None:
        super().__init__()
        model = copy.deepcopy(model)
        self.num_segments, self.backbone, self.classifier = model.num_segments, model.backbone, model.classifier
        for module in self.backbone.modules():
            if isinstance(module, TemporalConv2d) and isinstance(module.temporal, TemporalInterlace):
                module.temporal = PublishedInterlace(module.temporal)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, num_classes)."""
        frames = self.classifier(self.backbone(video.flatten(0, 1)))
        return cast(Tensor, frames.unflatten(0, (-1, self.num_segments)).mean(1))


def clips(layout: torch.memory_format) -> Tensor:
    """The input of every row: (2, 8, 3, 224, 224), its frames laid out as ``layout``."""
    frames = torch.randn((CLIPS * FRAMES, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    return frames.contiguous(memory_format=layout).unflatten(0, (CLIPS, FRAMES))


def build(kind: Literal["tin", "tsm", "tsn"]) -> VideoClassifier:
    """ResNet-50 with the same random weights for every kind, and statistics of BatchNorm that fit them; in eval mode.

    A residual branch that ends in zeros would leave out what is compared, so none does.
    """
    torch.manual_seed(0)
    settings: dict[str, Any] = {"num_classes": CLASSES, "num_segments": FRAMES, "dropout": 0, "zero_init_last": False}
    model = VideoClassifier("resnet50", kind, **settings)
    if kind != "tsn":
        model.load_state_dict(build("tsn").state_dict(), strict=False)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(clips(torch.channels_last))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return model.eval()


class PublishedProcess:
    """A process of its own that runs the published TIN in PyTorch's defaults, whenever it is told to."""

    def __init__(self, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.reference_tin", str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def milliseconds(self) -> float:
        """Run the clips once."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    def __enter__(self) -> PublishedProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    model, video = PlainClassifier(build("tin")).eval(), clips(torch.contiguous_format)
    with torch.inference_mode():
        for _ in sys.stdin:
            start = time.perf_counter()
            model(video)
            print(1000 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
