"""Which modules in a row one operator stands for: a convolution, the norm behind it, and an activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinkit.models.backbones.feature_layout import NCHW
from tinkit.models.fused.parts import Block, Parts
from tinkit.models.fused.weights import Ready, SeenWeights
from tinkit.models.temporal.interlace import TemporalInterlace
from tinkit.models.temporal.placed import TemporalConv2d
from tinkit.models.temporal.shift import TemporalShift
from tinkit.ops.post_ops import ACTIVATIONS, NONE, Activation
from tinkit.timm_import import import_timm

Moves = TemporalInterlace | TemporalShift


class Unit(NamedTuple):
    """Modules that run as one operator: ``modules``, in order, of which the first is the convolution.

    ``moves`` is what moves the convolution's input first.
    """

    modules: tuple[nn.Module, ...]
    ready: Ready
    then: Activation
    moves: Moves | None

    @property
    def convolution(self) -> Any:
        """The convolution."""
        return self.modules[0]


Step = Unit | Block | nn.Module


def steps_of(modules: Sequence[nn.Module | None], parts: Parts, seen: SeenWeights, dtype: torch.dtype) -> list[Step]:
    """How ``modules`` run, one after the other."""
    flat, steps, at = list(parts.flat(modules)), [], 0
    while at < len(flat):
        unit = _unit(flat[at : at + 3], parts, seen, dtype)
        steps.append(flat[at] if unit is None else unit)
        at += 1 if unit is None else len(unit.modules)
    return steps


def _unit(row: Sequence[nn.Module | Block], parts: Parts, seen: SeenWeights, dtype: torch.dtype) -> Unit | None:
    """What the first of ``row`` begins; None where it has to be called."""
    convolution, *following = row
    if isinstance(convolution, Block) or not _may_stand_for(convolution, parts):
        return None
    moves = _moves(convolution, parts)
    if moves is None and type(convolution) is TemporalConv2d:
        return None
    norm = following[0] if following and _may_merge(following[0], parts) else None
    ready = seen.ready(convolution, norm, dtype)  # type: ignore[arg-type]
    if ready is None:
        return None
    modules, then = (convolution,), NONE
    if norm is not None:
        modules += (norm,)  # type: ignore[assignment]
        own = getattr(norm, "act", None)
        then = NONE if own is None or parts.does_nothing(own) else ACTIVATIONS[type(own)]
    after = following[len(modules) - 1] if len(following) >= len(modules) else None
    if then is NONE and after is not None and is_activation(after, parts):
        modules, then = (*modules, after), ACTIVATIONS[type(after)]  # type: ignore[assignment,index]
    return Unit(modules, ready, then, moves)


def is_activation(module: object, parts: Parts) -> bool:
    """Whether a post-op does what it does."""
    return type(module) in ACTIVATIONS and parts.stock(module)  # type: ignore[arg-type]


def _may_stand_for(module: Any, parts: Parts) -> bool:
    kind = type(module)
    if kind not in (nn.Conv2d, TemporalConv2d) or not parts.stock(module):
        return False
    if not parts.library(nn.Conv2d, "_conv_forward") or (
        kind is TemporalConv2d and not parts.library(kind, "convolve")
    ):
        return False
    own = module.__dict__
    pairs = all(type(own[name]) is tuple and len(own[name]) == 2 for name in ("padding", "stride", "dilation"))
    return pairs and own["padding_mode"] == "zeros" and own["_parameters"].keys() >= {"weight", "bias"}


def _moves(convolution: Any, parts: Parts) -> Moves | None:
    if type(convolution) is not TemporalConv2d:
        return None
    temporal = convolution.__dict__["_modules"]["temporal"]
    if type(temporal) is TemporalInterlace:
        return temporal if convolution.operands(_NO_FEATURES) is not None else None
    shifts = type(temporal) is TemporalShift and parts.stock(temporal) and temporal.layout == NCHW
    return temporal if shifts else None


_NO_FEATURES = Tensor()


def _may_merge(norm: Any, parts: Parts) -> bool:
    """Whether ``norm`` is a BatchNorm that normalises by its statistics and, if it does more, activates."""
    with_activation = import_timm().layers.BatchNormAct2d
    if type(norm) not in (nn.BatchNorm2d, with_activation) or not parts.stock(norm) or norm.training:
        return False
    if norm.running_mean is None or norm.running_var is None:
        return False
    if type(norm) is nn.BatchNorm2d:
        return True
    act = norm.act
    return parts.does_nothing(norm.drop) and (act is None or parts.does_nothing(act) or is_activation(act, parts))
