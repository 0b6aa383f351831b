"""Activation checkpointing: a block's inputs are kept for the backward pass and the rest is computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from tinkit.models.places import family_of
from tinkit.models.video import VideoClassifier


def checkpoint_blocks(model: VideoClassifier, backbone: str) -> None:
    """From now on every residual block of ``model`` computes its activations twice, and keeps none, in training.

    The gradient is the same. Call it last: a copy of the model would go on calling the blocks of the original.
    """
    for stage in family_of(backbone).stages:
        for block in model.backbone.get_submodule(stage).children():
            block.forward = partial(_twice, block, block.forward)


def _twice(block: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(x)
    contexts = partial(_contexts, block)
    out: Tensor = checkpoint(forward, x, use_reentrant=False, context_fn=contexts)
    return out


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_untouched(block)


@contextmanager
def _statistics_untouched(block: nn.Module) -> Iterator[None]:
    """The second pass normalises as the first did, but must not move the running statistics a second time."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
