"""A first recipe for a data set of one's own, sized for the machine that it is made on. Needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from tinkit.data.layouts.layout import Media
from tinkit.metrics import Task

_STEPS = 300  # of a small set's training: enough to learn from ImageNet weights, minutes on a laptop
_MOST_EPOCHS, _FEWEST_EPOCHS = 60, 12
_MEGABYTES_A_CLIP = 900  # of a GPU's memory: TIN on ResNet-50, 8 frames of 224 pixels, in training with amp
_MEMORY_A_CLIP = 400  # megabytes, on a CPU: ResNet-18, 8 frames of 112 pixels


@dataclass(frozen=True)
class Machine:
    """What a training can use: cores, gigabytes of memory, those of the GPU (0: none), and ImageNet weights or not."""

    cores: int
    memory: float
    gpu_memory: float
    weights: bool


@dataclass(frozen=True)
class OwnSet:
    """What a recipe must know of a data set: its name, folder and kind, and how many clips and classes it has."""

    name: str
    root: Path
    task: Task
    media: Media
    frame_template: str
    clips: int
    classes: int
    negatives: bool = False


def backbone_for(machine: Machine) -> str:
    """The image network: as large as the machine trains in reasonable time."""
    return "resnet50" if machine.gpu_memory >= 6 else "resnet18"


def starter_recipe(own: OwnSet, machine: Machine) -> str:
    """The recipe as TOML text: TIN on a backbone and a batch that fit ``machine``, for as many epochs as pay.

    A set of few clips is gone through more often; from a random start, at a higher rate.
    """
    on_gpu = machine.gpu_memory >= 1
    size = 224 if on_gpu else 112
    room = machine.gpu_memory * 1000 / _MEGABYTES_A_CLIP if on_gpu else machine.memory * 1000 / _MEMORY_A_CLIP / 2
    batch = 1 << int(math.log2(max(2, min(room, 32 if on_gpu else 8, max(2, own.clips / 4)))))
    epochs = min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, round(_STEPS * batch / max(1, own.clips))))
    rate = 0.01 if machine.weights else 0.05
    data: dict[str, Any] = {"dataset": "table", "name": own.name, "root": str(own.root), "task": own.task}
    data |= {"media": own.media} | ({"frame_template": own.frame_template} if own.media == "frames" else {})
    data |= {"negatives": True} if own.negatives else {}
    # From a random start, branches that begin at zero and a small classifier would spend the few epochs waking up.
    cold = {} if machine.weights else {"zero_init_last": False, "classifier_std": 0.05}
    start = "from ImageNet weights" if machine.weights else "from a random start: no ImageNet weights could be had"
    recipe = {
        "description": f"{own.name}: {own.clips} clips of {own.classes} classes, TIN, {start}",
        "data": data,
        "clip": {"num_segments": 8, "size": size, "flip": True},
        "model": {
            "backbone": backbone_for(machine),
            "temporal": "tin",
            "dropout": 0.5,
            "pretrained": machine.weights,
            "partial_bn": False,
            **cold,
        },
        "optim": {"lr": round(rate * batch / 8, 6), "batch": batch, "epochs": epochs, "clip_grad": 20.0},
        "schedule": {"kind": "cosine", "warmup_epochs": 1},
        "train": {"val_every": max(1, epochs // 10), "workers": min(machine.cores, 8)},
        "test": {"views": "1x1", "scale": size * 8 // 7, "crop": size},
        "sources": {"*": "assumed: chosen by `tinkit data new` for the machine that it ran on"},
    }
    heading = "# A first recipe. `tinkit recipes FILE` says what every key means; change what you like.\n"
    return heading + tomli_w.dumps(recipe)
