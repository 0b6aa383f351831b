"""A training's first gradients, and whether the loss' average over classes makes them too small to learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tinkit.data.clips.batch import Batch
from tinkit.engine.training.learner import Learner
from tinkit.engine.training.loss import PER_CLASS, dense_target, loss_name
from tinkit.engine.training.step import StepResult
from tinkit.metrics import Task
from tinkit.recipe import Recipe

LEAST = 1e-3
"""The least rate x pull that is not warned of: half of the least among the built-in recipes whose rate was published.

A clip's *pull* is the length of the gradient of its own loss at the logits of its own classes. In a first step that is
about 1 for cross-entropy, however many classes there are, and about ``sqrt(labels) / 2`` for a binary cross-entropy
that is summed over C classes; averaged over them it is C times less. Rates are chosen for pulls of about 1, so rate
times pull, with the classifier's rate, tells whether rate and loss were made for each other. It depends neither on the
features, which are random in a dry run without weights, nor on how the classifier begins. Most of a first gradient as a
whole says something else: that every class is rarer than 1/2, which the classifier's bias learns in any case.
"""
# Of timm's, those whose step grows with the gradient; the others divide by its size, so that no factor matters.
_PROPORTIONAL = (
    "sgd",
    "momentum",
    "nesterov",
    "nesterovw",
    "sgdw",
    "sgdp",
    "sgdc",
    "csgdc",
    "csgdp",
    "csgdw",
    "fusedsgd",
)


@dataclass(frozen=True)
class FirstGradients:
    """Of one step: ``norm`` of all gradients before clipping; ``update``, what the step would take off the classifier's
    weights at ``rate``, over these (both as lengths); ``pull`` of a clip (None where no clip has a class), and
    ``rate``, the classifier's after the warm-up."""

    norm: float
    update: float
    pull: float | None
    rate: float


@dataclass
class Watch:
    """The gradients at the logits of the steps that :func:`watched` sees, as they come from each micro-batch."""

    slopes: list[Tensor] = field(default_factory=list)


@contextmanager
def watched(network: nn.Module) -> Iterator[Watch]:
    """See the gradients at the outputs of ``network`` in the block."""
    watch = Watch()

    def see(_: nn.Module, __: object, logits: Tensor) -> None:
        if logits.requires_grad:
            logits.register_hook(lambda slope: watch.slopes.append(slope.detach().float()))

    handle = network.register_forward_hook(see)
    try:
        yield watch
    finally:
        handle.remove()


def class_weights_length(learner: Learner) -> float:
    """The length of the weights of the layers that give the classes."""
    return _length([layer.weight for layer in learner.model.class_layers().values()])


def first_gradients(
    watch: Watch, learner: Learner, recipe: Recipe, batch: Batch, result: StepResult, before: float, scale: float
) -> FirstGradients:
    """What a step that was watched says. ``before``: :func:`class_weights_length` before it; ``scale``: how many times
    larger the watched gradients are than those of the step's loss."""
    layers = list(learner.model.class_layers().values())
    rate = recipe.optim.lr * _rate_multiple(learner, layers[0])
    slopes = torch.cat(watch.slopes) * (result.valid / scale) if watch.slopes else torch.zeros(0)
    taken = _length([layer.weight.grad for layer in layers if layer.weight.grad is not None])
    update = rate * taken / before if before else math.inf
    return FirstGradients(result.grad_norm, update, _pull(slopes, batch), rate)


def too_small(first: FirstGradients, recipe: Recipe, task: Task, num_classes: int) -> str | None:
    """A warning where the average over classes leaves a clip next to no pull at this rate; None where all is well.

    Where the sum would be as small, the rate is and not the average, and nothing is said. So where the optimiser
    divides by the size of gradients.
    """
    name, factor = loss_name(recipe.loss, task), recipe.loss.weight
    averaged = name in PER_CLASS and recipe.loss.reduction == "mean"
    if not averaged or recipe.optim.name not in _PROPORTIONAL or first.pull is None:
        return None
    step, summed = first.rate * first.pull, first.pull * num_classes / factor
    if step >= LEAST or first.rate * summed < LEAST:
        return None
    return (
        f"warning: the loss is averaged over {num_classes} classes, so that a clip pulls at the logits of its own "
        f"classes with {first.pull:.2g} ({summed:.2g} if it were summed). At the classifier's rate of {first.rate:g} "
        f"that is {step:.2g} a step; published trainings have {2 * LEAST:g} or more\n"
        f"  fix: --set loss.reduction=sum, or --set loss.weight=N: mmit_tsn_r101_mmaction2 has 160 for 313 classes"
    )


def _pull(slopes: Tensor, batch: Batch) -> float | None:
    """The mean over the clips that count and have a class. ``slopes`` (B, C), or (B, T, C) of frames."""
    good = batch["valid"]
    if slopes.numel() == 0 or not good.any():
        return None
    slopes = (slopes.sum(1) if slopes.dim() == 3 else slopes).cpu()[good]
    own = dense_target(batch["labels"][good], slopes.shape[1]) > 0
    lengths = torch.where(own, slopes, 0.0).norm(dim=1)[own.any(1)]
    return float(lengths.mean()) if len(lengths) else None


def _rate_multiple(learner: Learner, layer: nn.Linear) -> float:
    groups = learner.optimizer.param_groups
    return next(
        (float(group["lr_scale"]) for group in groups if any(one is layer.weight for one in group["params"])), 0.0
    )


def _length(tensors: list[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().float().norm()) ** 2 for tensor in tensors))
