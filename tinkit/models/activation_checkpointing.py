"""Activation checkpointing: a block's inputs are kept for the backward pass and the rest is computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from tinkit.models.backbones.families import family_of
from tinkit.models.backbones.places import blocks_in
from tinkit.models.classifier import Classifier
from tinkit.models.clipnets.blocks import BasicBlock, Bottleneck


def checkpoint_blocks(model: Classifier, backbone: str) -> None:
    """From now on every residual block of ``model`` computes its activations twice, and keeps none, in training.

    The gradient is the same. Call it last: blocks that are put in later are not among them.
    """
    for block in _blocks(model, backbone):
        block.forward = partial(_twice, block, block.forward)


def _blocks(model: Classifier, backbone: str) -> list[nn.Module]:
    if model.kind == "clip":
        return [module for module in model.modules() if isinstance(module, BasicBlock | Bottleneck)]
    return [block for _, blocks in blocks_in(model.backbone, family_of(backbone)) for _, block in blocks]


def _twice(block: nn.Module, forward: Callable[..., Tensor], x: Any, **settings: Any) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(x, **settings)
    # A DenseNet's layer gets the list that the outputs of the following ones are then added to.
    kept = list(x) if isinstance(x, list) else x
    contexts = partial(_contexts, block)
    out: Tensor = checkpoint(forward, kept, use_reentrant=False, context_fn=contexts, **settings)
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
