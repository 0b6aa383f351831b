"""A backbone run with its convolutions fused, where nobody changed it: testing on a CPU.

A convolution, the BatchNorm behind it and an activation are one operator of oneDNN (:mod:`tinkit.ops.post_ops`), and so
is the last convolution of a residual block with the addition of the shortcut and its ReLU, written to the shortcut
itself. A block's input is interlaced, or shifted, where it lies; its fold is set aside, and put back for the shortcut.

Every module that somebody changed, or that these rows do not know, is called at its place, and so is every module with
gradients, in a compiler or an exporter, without native kernels or PyTorch's operators, and in dtypes other than float32
and bfloat16. Features that others may have kept are not written to. oneDNN's ReLU takes NaN for zero: where frames,
weights, or what a user's own module gave, are non-finite, modules are called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tinkit.models.fused.parts import Block, Parts
from tinkit.models.fused.units import Moves, Step, Unit, is_activation, steps_of
from tinkit.models.fused.weights import FusedWeights, SeenWeights
from tinkit.models.stock import nothing_between, untouched
from tinkit.models.temporal.interlace import SteeringTap, TemporalInterlace
from tinkit.ops import fold_mean, native, steer
from tinkit.ops.ends import add_relu_
from tinkit.ops.interlace import check_arguments, steering_for
from tinkit.ops.post_ops import why_not


def fused_features(weights: FusedWeights, backbone: nn.Module, frames: Tensor) -> Tensor | None:
    """What ``backbone(frames)`` gives, up to rounding: (B*T, C, H, W) -> (B*T, features); None where it must be called.

    ``weights`` belong to ``backbone``.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or type(frames) is not Tensor or not frames.is_cpu:
        return None
    parts = Parts()
    trunk = parts.of_network(backbone)
    if trunk is None or not nothing_between() or not torch._C._get_mkldnn_enabled() or not native.load():
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else frames.dtype
    if why_not(dtype) is not None or frames.numel() == 0 or not math.isfinite(float(frames.sum())):
        return None
    seen = weights.see(backbone)
    if seen is None:
        return None
    run = _Pass(parts, seen, dtype)
    x = run.through(run.steps(trunk), frames.contiguous(memory_format=torch.channels_last))
    weights.forget_others(seen, dtype)
    return cast(Tensor, cast(Any, backbone).forward_head(x))


class _Pass:
    """One forward pass.

    ``_mine`` are features that an operator has just made and nobody else was given. ``_plain``: from now on modules are
    called.
    """

    def __init__(self, parts: Parts, seen: SeenWeights, dtype: torch.dtype) -> None:
        self._parts, self._seen, self._dtype = parts, seen, dtype
        self._given = (torch.float32, torch.bfloat16) if torch.is_autocast_enabled("cpu") else (dtype,)
        self._mine: Tensor | None = None
        self._plain = False

    def steps(self, modules: Sequence[nn.Module | None]) -> list[Step]:
        """How ``modules`` run now."""
        return steps_of(modules, self._parts, self._seen, self._dtype)

    def through(self, steps: Sequence[Step], x: Tensor) -> Tensor:
        """``x`` through all ``steps``."""
        for step in steps:
            x = self._step(step, x)
        return x

    def _step(self, step: Step, x: Tensor) -> Tensor:
        if isinstance(step, Block):
            return self._call(step.module, x) if self._plain else self._block(step, x)
        return self._unit(step, x, mine=x is self._mine) if isinstance(step, Unit) else self._call(step, x)

    def _call(self, module: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = module(x)
        self._mine = None
        trusted = self._parts.keeps_nothing(module) and not self._seen.too_large
        if not trusted and type(out) is Tensor and out.is_floating_point() and not bool(out.isfinite().all()):
            self._plain = True
        return out

    def _unit(self, unit: Unit, x: Tensor, *, mine: bool, again: bool = False) -> Tensor:
        """The unit's output. ``mine``: ``x`` may be written to; ``again``: but is read afterwards."""
        if not self._fits(unit, x):
            return self.through(unit.modules, x)
        given = x
        x = self._laid_out(x)
        mine, run = mine or x is not given, unit.ready.at(x)
        if unit.moves is None:
            out = run(x, unit.then)
        else:
            offset, gain = self._steering(unit.moves, unit.convolution, x)
            fold = _fold_of(unit.moves, x)
            if self._plain:
                moved = torch.ops.tinkit.interlace(x, offset, gain, fold)
                return self.through(unit.modules[1:], unit.convolution.convolve(moved))
            if mine:
                saved = torch.ops.tinkit.interlace_write_(x, offset, gain, fold, transposed=False)
                out = run(x, unit.then)
                if again and x is given:
                    torch.ops.tinkit.fold_restore_(x, saved)
            else:
                out = run(torch.ops.tinkit.interlace(x, offset, gain, fold), unit.then)
        self._mine = out
        return out

    def _fits(self, unit: Unit, x: Any) -> bool:
        """Whether the unit's operator takes ``x`` as its modules would."""
        if self._plain or type(x) is not Tensor or x.dtype not in self._given or not x.is_cpu or x.ndim != 4:
            return False
        if x.layout != torch.strided or x.shape[1] != unit.ready.settings.in_channels or x.numel() == 0:
            return False
        if unit.moves is not None and (x.shape[0] % unit.moves.num_segments or _fold_of(unit.moves, x) == 0):
            return False
        return min(unit.ready.settings.shape(x)) > 0

    def _laid_out(self, x: Tensor) -> Tensor:
        x = x if x.dtype == self._dtype else x.to(self._dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def _steering(self, moves: Moves, convolution: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets and gains, as the kernels take them."""
        if not isinstance(moves, TemporalInterlace):
            clips = x.shape[0] // moves.num_segments
            return x.new_tensor([[-1.0, 1.0]], dtype=torch.float32).expand(clips, 2).contiguous(), x.new_ones(
                (clips, moves.num_segments, 2), dtype=torch.float32
            )
        temporal, weights = convolution.operands(x)
        found = steer(fold_mean(x, temporal.fold), weights)
        tap = temporal.steering
        if type(tap) is SteeringTap and untouched(tap):
            return found
        offset, gain = tap(*found)
        check_arguments(x, offset, gain, temporal.fold)
        self._plain = not bool(offset.isfinite().all() and gain.isfinite().all())
        return steering_for(x, offset, gain)

    def _block(self, block: Block, x: Tensor) -> Tensor:
        branch = self.steps(block.branch)
        beside = [] if block.shortcut is None else self.steps([block.shortcut])
        quiet = all(isinstance(step, Unit) or self._is_quiet(step) for step in beside)
        # Whatever is called with the block's input may keep it.
        mine = x is self._mine and quiet and bool(branch) and isinstance(branch[0], Unit)
        early = quiet and bool(beside)
        shortcut = self.through(beside, x) if early else x
        may_write = self._mine is shortcut if early else mine and not beside
        *steps, last = branch or [nn.Identity()]
        out = x
        for index, step in enumerate(steps):
            own = mine if index == 0 else out is self._mine
            out = self._unit(step, out, mine=own, again=not early) if isinstance(step, Unit) else self._step(step, out)
        if beside and not early:
            shortcut = self.through(beside, x)
        return self._end(block, last, out, shortcut, may_write=may_write and out is not shortcut)

    def _is_quiet(self, step: Step) -> bool:
        return not isinstance(step, Block | Unit) and self._parts.keeps_nothing(step)

    def _end(self, block: Block, last: Step, x: Tensor, shortcut: Tensor, *, may_write: bool) -> Tensor:
        """The block's output, from what its last step is given."""
        end = None if block.end is None or self._parts.does_nothing(block.end) else block.end
        relu = end is not None and type(end) is nn.ReLU and is_activation(end, self._parts)
        if isinstance(last, Unit) and self._may_add(last, x, shortcut):
            x, shortcut = self._laid_out(x), shortcut.contiguous(memory_format=torch.channels_last)
            out = last.ready.at(x).onto(shortcut, x, relu=relu, write=may_write)
            self._mine = out
            return out if end is None or relu else self._call(end, out)
        out = self._step(last, x)
        if relu and block.in_place and self._may_join(last, out, shortcut):
            add_relu_(out, shortcut.contiguous(memory_format=torch.channels_last))
            self._mine = out
            return out
        self._mine = None
        if block.in_place:
            out += shortcut
        else:
            out = out + shortcut
        return out if end is None else self._call(end, out)

    def _may_add(self, unit: Unit, x: Any, shortcut: Any) -> bool:
        if (
            unit.then.name != "none"
            or unit.moves is not None
            or not unit.ready.settings.may_add
            or not self._fits(unit, x)
        ):
            return False
        return _is_like(shortcut, unit.ready.settings.shape(x), self._dtype)

    def _may_join(self, last: Step, out: Any, shortcut: Any) -> bool:
        """Whether nobody can have kept ``out``, and one pass does what ``out += shortcut`` and a ReLU do."""
        if self._plain or not (isinstance(last, Unit) or self._is_quiet(last)) or type(out) is not Tensor:
            return False
        dense = out.ndim == 4 and out.is_contiguous(memory_format=torch.channels_last)
        apart = dense and _is_like(shortcut, tuple(out.shape), out.dtype) and out.data_ptr() != shortcut.data_ptr()
        return apart and out.dtype in _FAST


_FAST = (torch.float32, torch.bfloat16)


def _is_like(x: Any, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    plain = type(x) is Tensor and x.is_cpu and x.layout == torch.strided
    return plain and x.dtype == dtype and tuple(x.shape) == shape


def _fold_of(moves: Moves, x: Tensor) -> int:
    """How many channels move: of a shift, both parts."""
    return moves.fold if isinstance(moves, TemporalInterlace) else 2 * (x.shape[1] // moves.shift_div)
