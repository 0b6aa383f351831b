"""BatchNorm merged into the convolution before it: the same function of the frames, for testing alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn

from tinkit.models.classifier import Classifier
from tinkit.models.fused import merged
from tinkit.models.stock import are_plain, is_library, keeps_methods, nothing_between, untouched
from tinkit.models.temporal.placed import TemporalConv2d
from tinkit.timm_import import import_timm

_NUMBERED = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


def merge_batch_norm(model: Classifier) -> None:
    """Merge every ``BatchNorm2d`` whose only input is the output of one convolution into that convolution.

    An ``Identity`` takes the norm's place; the logits are the same up to rounding. Norms behind anything else (a
    blur, a shift of another kind), watched by hooks, or without running statistics are left alone, and so is what is
    not timm's ``BasicBlock`` or ``Bottleneck`` to the letter (:mod:`tinkit.models.stock`), a sequence inside a module
    that no library defines, and a convolution or norm that stands in two places. Hooks on all modules, where there are
    any, leave the model as it is. The model can neither be trained nor take a state dict afterwards: merge a copy, or
    one that was loaded for the test. Raises ``ValueError`` in training mode.
    """
    if model.training or any(norm.training for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)):
        raise ValueError("BatchNorm is merged in evaluation mode only: a weight cannot hold the statistics of a batch")
    if not nothing_between():
        return
    for owner, name, convolution in list(_pairs(model.backbone)):
        _absorb(convolution, owner.get_submodule(name))
        setattr(owner, name, nn.Identity())


def _pairs(backbone: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    """The owner and name of each norm that can be merged, and the convolution whose output goes to it alone."""
    resnet = import_timm().models.resnet
    places = Counter(module for _, module in backbone.named_modules(remove_duplicate=False))
    for owner in _known(backbone):
        if type(owner) is nn.Sequential:
            names = list(pairwise(name for name, _ in owner.named_children()))
        elif type(owner) in (resnet.ResNet, resnet.BasicBlock, resnet.Bottleneck):
            names = [pair for pair in _NUMBERED if all(hasattr(owner, name) for name in pair)]
        else:
            continue
        for before, name in names:
            convolution, norm = _last(owner.get_submodule(before)), owner.get_submodule(name)
            if _may_merge(convolution, norm) and places[convolution] == places[norm] == 1:
                yield owner, name, convolution


def _known(module: nn.Module) -> Iterator[nn.Module]:
    """``module`` and all in it, but nothing in one whose ``forward`` no library wrote: who knows what that calls."""
    features = ("forward_features",) if hasattr(type(module), "forward_features") else ()
    if keeps_methods(module) and is_library(type(module), *features):
        yield module
        for child in module.children():
            yield from _known(child)


def _last(module: nn.Module) -> Any:
    """``module``, or where it is a sequence (a deep stem), what it ends in."""
    while type(module) is nn.Sequential and len(module) and untouched(module):
        module = module[-1]
    return module


def _may_merge(convolution: Any, norm: Any) -> bool:
    if type(convolution) not in (nn.Conv2d, TemporalConv2d) or type(norm) is not nn.BatchNorm2d:
        return False
    if type(convolution) is TemporalConv2d and not is_library(TemporalConv2d, "convolve"):
        return False
    plain = all(untouched(part) and is_library(type(part)) for part in (convolution, norm))
    weights = [part.weight for part in (convolution, norm) if part.weight is not None]
    biases = [part.bias for part in (convolution, norm) if part.bias is not None]
    whole = is_library(nn.Conv2d, "_conv_forward") and are_plain(*weights, *biases)
    return plain and whole and norm.running_mean is not None


def _absorb(convolution: nn.Conv2d, norm: Any) -> None:
    weight, bias = merged(convolution, norm)
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(bias, requires_grad=False)
