"""A 2D backbone's residual blocks one after the other, where nobody looks between them: testing on a CPU.

The modules are called in the order of the backbone's own ``forward``, except for the end of each block, add and ReLU,
which is one pass over the features (:mod:`tinkit.ops.residual`) for every network. Where the next block interlaces,
that pass also sets its fold aside and pools it, so that interlacing costs one more pass over the fold and no copy of
anything. The numbers are those of the backbone's own ``forward`` up to rounding.

It needs features that are the chain's own: hooks on any module that would see features between blocks, or a changed
``forward``, leave the backbone to itself. So do gradients, compilers and exporters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from tinkit.models.families import RESNET
from tinkit.models.placed import TemporalConv2d, is_watched
from tinkit.models.temporal import SteeringTap, TemporalInterlace
from tinkit.ops import Steering, fold_mean, native, steer
from tinkit.ops.residual import interlace_into_, residual_
from tinkit.timm_import import import_timm


def may_chain(backbone: nn.Module, frames: Tensor) -> bool:
    """Whether :func:`run_chain` may stand for ``backbone(frames)`` now, and would be faster."""
    if torch.is_grad_enabled() or frames.device.type != "cpu" or type(frames) is not Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not native.load():
        return False
    resnet = import_timm().models.resnet
    if type(backbone) is not resnet.ResNet or _is_looked_into(backbone):
        return False
    kinds = (resnet.Bottleneck, resnet.BasicBlock)
    return all(type(block) in kinds and type(_last_act(block)) is nn.ReLU for block in _blocks(backbone))


def run_chain(backbone: nn.Module, frames: Tensor) -> Tensor:
    """What ``backbone(frames)`` gives, for a timm ResNet: (B*T, 3, H, W) -> (B*T, features). May be called without
    gradients only, and where :func:`may_chain`."""
    net = cast(Any, backbone)
    x = net.maxpool(net.act1(net.bn1(net.conv1(frames.contiguous(memory_format=torch.channels_last)))))
    return cast(Tensor, net.forward_head(_run_blocks(_blocks(backbone), x)))


def _run_blocks(blocks: Sequence[Any], x: Tensor) -> Tensor:
    """``beside`` is the fold of ``x`` where the block before has set it aside; then ``x`` need not have it."""
    beside, pooled = None, torch.empty(0)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        shortcut = x if block.downsample is None else block.downsample(x)
        temporal = _interlace_of(block)
        if temporal is None:
            out = block.conv1(x)
        else:
            if beside is None:
                beside, pooled = _set_aside(x, temporal.fold)
            interlace_into_(x, beside, *temporal.steering(*_steer(pooled, temporal.weights())))
            out = block.conv1.convolve(x)
        held = beside if shortcut is x else None
        del x  # a block with a shortcut of its own does not need it any more
        out = _after_first_convolution(block, out)
        x, beside, pooled = _join(out, shortcut, held, following)
    return x


def _set_aside(x: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """A copy of the fold and its mean over pixels."""
    moving = x[:, :fold]
    return torch.empty_like(moving).copy_(moving), fold_mean(x, fold)


def _steer(pooled: Tensor, weights: Steering) -> tuple[Tensor, Tensor]:
    """:func:`tinkit.ops.steer`, without its checks where there is nothing to convert: they take as long as it does."""
    if pooled.dtype != weights[0].dtype:
        return steer(pooled, weights)
    offset, gain = torch.ops.tinkit.steer(pooled, *weights)
    return offset, gain


def _join(out: Tensor, shortcut: Tensor, held: Tensor | None, following: Any) -> tuple[Tensor, Tensor | None, Tensor]:
    """The block's output, the fold of the ``following`` block where it is set aside, and that fold's mean."""
    if out.dtype != shortcut.dtype:
        return (out + shortcut).relu_(), None, out
    out, shortcut = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (out, shortcut))
    temporal = _interlace_of(following)
    if temporal is None or (held is not None and held.shape[1] != temporal.fold):
        residual_(out, shortcut, held, held=held is not None)
        return out, None, out
    beside = torch.empty_like(out[:, : temporal.fold]) if held is None else held
    whole = following.downsample is not None  # which reads all of it before it is interlaced
    return out, beside, residual_(out, shortcut, beside, held=held is not None, aside=True, whole=whole)


def _after_first_convolution(block: Any, x: Tensor) -> Tensor:
    """What a block does between its first convolution and the addition."""
    if hasattr(block, "conv3"):
        x = block.aa(block.act2(block.drop_block(block.bn2(block.conv2(block.act1(block.bn1(x)))))))
        x = block.bn3(block.conv3(x))
    else:
        x = block.aa(block.act1(block.drop_block(block.bn1(x))))
        x = block.bn2(block.conv2(x))
    for module in (block.se, block.drop_path):
        if module is not None:
            x = module(x)
    return x


def _interlace_of(block: Any) -> TemporalInterlace | None:
    """What interlaces the input of ``block``, if that and the convolution behind it may be taken apart."""
    convolution = None if block is None else block.conv1
    return convolution.interlace() if isinstance(convolution, TemporalConv2d) else None


def _blocks(backbone: nn.Module) -> list[nn.Module]:
    return [block for stage in RESNET.stages for block in backbone.get_submodule(stage).children()]


def _last_act(block: Any) -> nn.Module:
    return cast(nn.Module, block.act3 if hasattr(block, "act3") else block.act2)


def _is_looked_into(backbone: nn.Module) -> bool:
    """Whether hooks of any module would see the difference, or somebody has given one another ``forward``."""
    if torch_module._has_any_global_hook():
        return True
    modules = [backbone]
    while modules:  # Module.modules() takes several times as long, and this runs before every forward pass
        module = modules.pop()
        if is_watched(module):
            return True
        modules += [child for child in module._modules.values() if child is not None and type(child) is not SteeringTap]
    return False
