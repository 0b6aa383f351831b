"""A 2D backbone's residual blocks run as one chain, where nothing observes what lies between them: testing on a CPU.

The modules are called in the order of the backbone's own ``forward``, except for the end of each block, add and ReLU,
which is one pass over the features (:mod:`tinkit.ops.residual`) for every network. Where the next block interlaces,
that pass also sets its fold aside and pools it, so that interlacing costs one more pass over the fold and no copy of
anything. The numbers are those of the backbone's own ``forward`` up to rounding.

It needs features that are the chain's own, and a network that is timm's to the letter: :mod:`tinkit.models.stock` says
what must be true. Any other runs by its own ``forward``, and so does any network with gradients, in a compiler or an
exporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tinkit.models.backbones.families import RESNET
from tinkit.models.stock import is_library, nothing_between, untouched
from tinkit.models.temporal.interlace import TemporalInterlace
from tinkit.models.temporal.placed import TemporalConv2d
from tinkit.ops import Steering, native, steer
from tinkit.ops.interlace import check_arguments, steering_for
from tinkit.ops.residual import interlace_into_, residual_
from tinkit.timm_import import import_timm

Operands = tuple[TemporalInterlace, Steering]


def may_chain(backbone: nn.Module, frames: Tensor) -> bool:
    """Whether :func:`run_chain` may stand for ``backbone(frames)`` now, and would be faster."""
    if torch.is_grad_enabled() or frames.device.type != "cpu" or type(frames) is not Tensor:
        return False
    if torch.compiler.is_compiling() or not nothing_between() or not native.load():
        return False
    if type(backbone) is not import_timm().models.resnet.ResNet:
        return False
    if any(type(backbone._modules.get(stage)) is not nn.Sequential for stage in RESNET.stages):
        return False
    blocks = _blocks(backbone)
    return all(map(_is_timms, blocks)) and _have_plain_shortcuts(blocks) and _is_stock(backbone)


def run_chain(backbone: nn.Module, frames: Tensor) -> Tensor:
    """What ``backbone(frames)`` gives, for a timm ResNet: (B*T, 3, H, W) -> (B*T, features). May be called without
    gradients only, and where :func:`may_chain`."""
    net = cast(Any, backbone)
    x = net.maxpool(net.act1(net.bn1(net.conv1(frames.contiguous(memory_format=torch.channels_last)))))
    with torch._C._AutoDispatchBelowAutograd():  # without gradients it costs time alone, most where operators are small
        x = _run_blocks(_blocks(backbone), x)
    return cast(Tensor, net.forward_head(x))


def _run_blocks(blocks: Sequence[Any], x: Tensor) -> Tensor:
    """``beside`` is the fold of ``x`` where the block before has set it aside; then ``x`` need not have it."""
    operands = [_operands_of(block, x) for block in blocks]
    beside, pooled = None, torch.empty(0)
    for index, block in enumerate(blocks):
        shortcut = x if block.downsample is None else block.downsample(x)
        if beside is None:  # nothing is known of these features: others may hold them too
            out = block.conv1(x)
        else:
            temporal, weights = cast(Operands, operands[index])
            interlace_into_(x, beside, *_steer(x, pooled, temporal, weights))
            out = block.conv1.convolve(x)
        held = beside if shortcut is x else None
        del x  # a block with a shortcut of its own no longer needs it
        out = _after_first_convolution(block, out)
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        wanted = operands[index + 1] if following is not None else None
        if not _may_join(out, shortcut):
            x, beside = _join_by_modules(block, out, shortcut, held), None
        else:
            whole = following is not None and following.downsample is not None  # which reads it before it is interlaced
            x, beside, pooled = _join(out, shortcut, held, wanted and wanted[0].fold, whole=whole)
    return x


def _steer(x: Tensor, pooled: Tensor, temporal: TemporalInterlace, weights: Steering) -> tuple[Tensor, Tensor]:
    """:func:`tinkit.ops.steer`, without its checks where there is nothing to convert: they take as long as it does."""
    same = pooled.dtype == weights[0].dtype
    found = torch.ops.tinkit.steer(pooled, *weights) if same else steer(pooled, weights)
    offset, gain = temporal.steering(*found)
    if offset is found[0] and gain is found[1]:
        return offset, gain
    check_arguments(x, offset, gain, temporal.fold)  # they come from a hook
    return steering_for(x, offset, gain)


def _may_join(out: Tensor, shortcut: Tensor) -> bool:
    """Whether the operator at the end of a block does with these what ``out += shortcut`` and a ReLU do."""
    plain = type(out) is Tensor and type(shortcut) is Tensor and out.is_cpu and shortcut.is_cpu
    alike = out.dtype == shortcut.dtype and out.shape == shortcut.shape
    return plain and alike and out.ndim == 4 and out.data_ptr() != shortcut.data_ptr()


def _join_by_modules(block: Any, out: Tensor, shortcut: Tensor, held: Tensor | None) -> Tensor:
    """The block's output as its own ``forward`` makes it; ``held`` is the fold that the shortcut does not have now."""
    if held is not None:
        shortcut[:, : held.shape[1]] = held
    out += shortcut
    return cast(Tensor, _last_act(block)(out))


def _join(
    out: Tensor, shortcut: Tensor, held: Tensor | None, fold: int | None, *, whole: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The block's output; where the next block interlaces a ``fold``, that fold set aside and its mean over pixels."""
    out, shortcut = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (out, shortcut))
    if fold is None or (held is not None and held.shape[1] != fold):
        residual_(out, shortcut, held, held=held is not None)
        return out, None, out
    beside = torch.empty_like(out[:, :fold]) if held is None else held
    return out, beside, residual_(out, shortcut, beside, held=held is not None, aside=True, whole=whole)


def _after_first_convolution(block: Any, x: Tensor) -> Tensor:
    """What a block does between its first convolution and the addition."""
    if _is_bottleneck(block):
        x = block.aa(block.act2(block.drop_block(block.bn2(block.conv2(block.act1(block.bn1(x)))))))
        x = block.bn3(block.conv3(x))
    else:
        x = block.aa(block.act1(block.drop_block(block.bn1(x))))
        x = block.bn2(block.conv2(x))
    for module in (block.se, block.drop_path):
        if module is not None:
            x = module(x)
    return x


def _operands_of(block: Any, x: Tensor) -> Operands | None:
    """What interlaces the input of ``block``, if that and the convolution behind it may be taken apart."""
    convolution = block.conv1
    return convolution.operands(x) if type(convolution) is TemporalConv2d else None


def _blocks(backbone: nn.Module) -> list[Any]:
    """In the order in which they run: one that stands in two places runs twice."""
    return [block for stage in RESNET.stages for block in backbone.get_submodule(stage)._modules.values()]


def _last_act(block: Any) -> nn.Module:
    return cast(nn.Module, block.act3 if _is_bottleneck(block) else block.act2)


def _is_bottleneck(block: Any) -> bool:
    """Which of timm's two kinds it is, by its class: a third convolution added to a basic block is not called."""
    return type(block).__name__ == "Bottleneck"


def _is_timms(block: Any) -> bool:
    """Whether it is of the two kinds that the chain knows, and ends in a ReLU."""
    kinds = ("timm.models.resnet", "Bottleneck"), ("timm.models.resnet", "BasicBlock")
    return (type(block).__module__, type(block).__name__) in kinds and type(_last_act(block)) is nn.ReLU


def _have_plain_shortcuts(blocks: Sequence[Any]) -> bool:
    """Whether shortcuts consist of layers that return new features and draw nothing at random."""
    layers = import_timm().layers
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, layers.GroupNorm)
    plain = (type(None), nn.Identity, nn.Conv2d, nn.AvgPool2d, layers.AvgPool2dSame, *norms)
    for block in blocks:
        shortcut = block.downsample
        parts = shortcut._modules.values() if type(shortcut) is nn.Sequential else (shortcut,)
        if not all(type(part) in plain for part in parts):
            return False
    return True


def _is_stock(backbone: nn.Module) -> bool:
    """Whether clauses 2 and 4 of :mod:`tinkit.models.stock` hold for every module that is given features.

    What steers is given averages: ``TemporalConv2d.operands`` asks for that, and it is called where it was changed.
    """
    modules: list[nn.Module | None] = [backbone]
    kinds = set()
    while modules:  # Module.modules() takes several times as long, and this runs before every forward pass
        module = modules.pop()
        if module is None:
            continue
        if not untouched(module):
            return False
        kinds.add(kind := type(module))
        if kind is not TemporalInterlace:
            modules += module.__dict__["_modules"].values()
    return is_library(type(backbone), "forward_features") and all(map(is_library, kinds))
