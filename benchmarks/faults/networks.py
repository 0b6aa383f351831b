"""Networks that a user changed: every change has the effect that it has in plain PyTorch, on every path."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tinkit.models import VideoClassifier
from tinkit.models.batch_norm import merge_batch_norm

from .network_changes import CHANGES, STILL, WITHOUT_SLOPES
from .network_truth import difference, network, plain, video
from .outcome import Outcome

ROUNDING = 2e-4  # of the largest logit
ROUNDING_OF_SLOPES = 2e-2  # of their norm: rounding decides which way a ReLU near zero falls
MOVED = 1e-3


class Paths(NamedTuple):
    """How far the logits of a changed model are from the truth on the worst path, and the truth from the unchanged."""

    apart: float
    worst: str
    moved: float


def compare(name: str, ours: VideoClassifier, seed: int = 1) -> Paths:
    """Change a copy of ``ours`` and a plain one, and compare what they make of a clip: logits and gradients."""
    clip = video(seed=seed)
    ours, truth = copy.deepcopy(ours), plain(ours)
    with torch.no_grad():
        before = truth(clip)
    merged, again = copy.deepcopy(ours), copy.deepcopy(ours)
    with ExitStack() as undo:
        CHANGES[name](truth, undo)
        wanted = truth(clip)
        slope = None if name in WITHOUT_SLOPES else _slope(truth, clip)
    paths: dict[str, float] = {}
    with ExitStack() as undo:
        CHANGES[name](ours, undo)
        paths["with gradients"] = difference(ours(clip), wanted)
        if slope is not None:
            apart = (_slope(ours, clip) - slope).norm() / slope.norm()
            paths["gradients"] = float(apart) * ROUNDING / ROUNDING_OF_SLOPES
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                paths[context.__name__] = difference(ours(clip), wanted)
    with ExitStack() as undo, torch.no_grad():
        again(clip)  # what is made of weights is made
        CHANGES[name](again, undo)
        paths["changed after a pass"] = difference(again(clip), wanted)
    with ExitStack() as undo:
        CHANGES[name](merged, undo)
        merge_batch_norm(merged)
        with torch.inference_mode():
            paths["merged"] = difference(merged(clip), wanted)
    worst = max(paths, key=lambda path: paths[path])
    return Paths(paths[worst], worst, difference(wanted, before))


def _slope(model: torch.nn.Module, clip: Tensor) -> Tensor:
    given = clip.clone().requires_grad_()
    return torch.autograd.grad(model(given).square().sum(), given)[0]


def holds(name: str, paths: Paths) -> bool:
    """Whether all paths agree with the truth, and the change changed something unless it is one that does not."""
    return paths.apart <= ROUNDING and (paths.moved >= MOVED) is (name not in STILL)


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Every change, in a ResNet-18 of small clips drawn from ``seed``."""
    model = network()
    for name in CHANGES:
        paths = compare(name, model, seed)
        note = f"logits moved by {paths.moved:.0%}; off by {paths.apart:.1e} {paths.worst}"
        yield Outcome("a network that a user changed", name, holds(name, paths), note=note)
