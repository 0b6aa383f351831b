"""The operators on CUDA devices: which kernels of ``kernels/cuda`` they launch, and over what.

Every operator allocates its results with PyTorch, launches one or two kernels on PyTorch's current stream and returns;
nothing waits for the device and nothing is copied that is in order, so that a CUDA graph can capture them. Features are
contiguous or channels_last, as everywhere (:mod:`tinkit.ops.layout`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tinkit.ops.cuda_kernels import BLOCK, Access, Arguments, Launcher, access_for
from tinkit.ops.fold import check_mean
from tinkit.ops.interlace import check_arguments, laid_out_as, steering_for
from tinkit.ops.layout import as_dense, empty_fold, is_channels_last, layout_of
from tinkit.ops.steer import GROUPS, check_steering

_CHUNK = 4  # packs of the rest that a thread copies, as kernels/cuda/device.h has it
_LEAVE, _COPY, _CLEAR = range(3)  # Rest in kernels/cuda/arguments.h
_PIXELS_A_THREAD = 16  # of a channels_last mean, before a frame is cut into slices

OPERATORS = (
    "interlace",
    "interlace_backward",
    "interlace_fold",
    "interlace_fold_backward",
    "fold_mean",
    "interlace_write_",
    "fold_restore_",
    "steer",
)
"""The operators that have kernels for CUDA; the methods of :class:`CudaOperators`."""


class _Rows(NamedTuple):
    """A frame as rows, each an image's channels (contiguous: one row) or a pixel's (channels_last); in elements.

    A channel takes ``each`` elements of a row.
    """

    rows: int
    each: int


def _rows(x: Tensor) -> _Rows:
    area = x.shape[2] * x.shape[3]
    return _Rows(area, 1) if is_channels_last(x) else _Rows(1, area)


class CudaOperators:
    """The operators over a launcher of kernels; each method is one, with its operator's arguments and results."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def interlace(self, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
        """:func:`tinkit.ops.interlace`: reads and writes every element once."""
        check_arguments(x, offset, gain, fold)
        x = as_dense(x)
        out = torch.empty_like(x)
        self._move(x, out, None, *steering_for(x, offset, gain), fold, rest=_COPY)
        return out

    def interlace_fold(self, x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
        """:func:`tinkit.ops.interlace_fold`: reads and writes the fold once."""
        check_arguments(x, offset, gain, fold)
        x = as_dense(x)
        out = empty_fold(x, fold)
        self._move(x, out, None, *steering_for(x, offset, gain), fold)
        return out

    def interlace_write_(self, x: Tensor, offset: Tensor, gain: Tensor, fold: int, transposed: bool) -> Tensor:
        """Interlace the fold of ``x`` in place and return what was there: reads the fold once and writes it twice."""
        check_arguments(x, offset, gain, fold)
        if as_dense(x) is not x:
            raise ValueError("interlace_write_: x is neither contiguous nor channels_last")
        saved = empty_fold(x, fold)
        self._move(x, x, saved, *steering_for(x, offset, gain), fold, transposed=transposed)
        return saved

    def fold_restore_(self, x: Tensor, saved: Tensor) -> None:
        """Put back what :meth:`interlace_write_` returned."""
        if x.numel() == 0:
            return
        saved = saved.contiguous(memory_format=layout_of(x))
        rows, each = _rows(x)
        fold, pitch = saved.shape[1] * each, x.shape[1] * each
        access = access_for((x, saved), (fold, pitch))
        arguments = Arguments(source=saved.data_ptr(), target=x.data_ptr(), clips=x.shape[0], frames=1, rest_mode=_COPY)
        arguments.rows, arguments.rest = rows, fold // access.lanes
        arguments.source_pitch, arguments.target_pitch = fold // access.lanes, pitch // access.lanes
        self._launch("restore", access, _rest_blocks(arguments), arguments, x)

    def interlace_backward(
        self, grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of ``interlace``: reads gradient and fold once, writes once."""
        return self._backward(grad, x, offset, gain, fold, rest=_COPY)

    def interlace_fold_backward(
        self, grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of ``interlace_fold``; that of the features is zero past the fold."""
        return self._backward(grad, x, offset, gain, fold, rest=_CLEAR)

    def fold_mean(self, x: Tensor, fold: int) -> Tensor:
        """:func:`tinkit.ops.fold_mean`: reads the fold once."""
        check_mean(x, fold)
        x = as_dense(x)
        frames, channels, height, width = x.shape
        out = x.new_empty((frames, fold), dtype=torch.promote_types(x.dtype, torch.float32))
        area = height * width
        if out.numel() == 0 or area == 0:
            return out.fill_(torch.nan)
        arguments = Arguments(source=x.data_ptr(), target=out.data_ptr(), clips=frames, area=area, fold=fold)
        if not is_channels_last(x):
            access = access_for((x,), (area, channels * area))
            arguments.run, arguments.source_pitch = area // access.lanes, channels * area // access.lanes
            # A thread takes four packs or more of its channel, and a channel no more threads than a block has.
            arguments.team = min(BLOCK, _power_of_two(arguments.run // 4))
            self._launch("mean_planes", access, _ceil(frames * fold, BLOCK // arguments.team), arguments, x)
            return out
        access = access_for((x,), (fold, channels))
        arguments.rows, arguments.moving = area, fold // access.lanes
        arguments.source_pitch = channels // access.lanes
        arguments.team = min(32, _power_of_two(2 * arguments.moving - 1))
        arguments.slices = max(1, area // (BLOCK // arguments.team * _PIXELS_A_THREAD))
        if arguments.slices > 1:
            partial = out.new_empty(frames * arguments.slices * fold)
            arguments.partial = partial.data_ptr()
        blocks = frames * arguments.slices * _ceil(arguments.moving, arguments.team)
        self._launch("mean_pixels", access, blocks, arguments, x)
        if arguments.slices > 1:
            self._launch("mean_finish", access, _ceil(out.numel(), BLOCK), arguments, x)
        return out

    def steer(self, pooled: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """:func:`tinkit.ops.steer` in one kernel."""
        check_steering(pooled, weights)
        frames, groups = weights[2].shape[0], GROUPS
        clips = pooled.shape[0] // frames
        pooled = pooled.contiguous()
        offset, gain = pooled.new_empty((clips, groups)), pooled.new_empty((clips, frames, groups))
        between = pooled.new_empty(clips * frames * 2)
        dense_weights = [weight.contiguous() for weight in weights]
        arguments = Arguments(source=pooled.data_ptr(), target=offset.data_ptr(), saved=gain.data_ptr())
        arguments.partial, arguments.frames, arguments.fold = between.data_ptr(), frames, pooled.shape[1]
        arguments.weights = tuple(weight.data_ptr() for weight in dense_weights)
        self._launch("steer", Access(pooled.dtype, 1, False), clips, arguments, pooled)
        return offset, gain

    def _move(
        self,
        x: Tensor,
        out: Tensor,
        saved: Tensor | None,
        offset: Tensor,
        gain: Tensor,
        fold: int,
        *,
        rest: int = _LEAVE,
        transposed: bool = False,
    ) -> None:
        if x.numel() == 0:
            return
        kept = () if saved is None else (saved,)
        arguments, access = _frames(x, (x, out, *kept), gain, fold, rest)
        arguments.source, arguments.target = x.data_ptr(), out.data_ptr()
        arguments.offset, arguments.gain = offset.data_ptr(), gain.data_ptr()
        arguments.source_pitch, arguments.target_pitch = _pitch(x, x, access), _pitch(out, x, access)
        if saved is not None:
            arguments.saved, arguments.saved_pitch = saved.data_ptr(), _pitch(saved, x, access)
        arguments.transposed = transposed
        arguments.slices = _ceil(arguments.rows * arguments.moving, BLOCK)
        arguments.blocks = arguments.clips * arguments.slices
        self._launch("move", access, arguments.blocks + _rest_blocks(arguments), arguments, x)

    def _backward(
        self, grad: Tensor, x: Tensor, offset: Tensor, gain: Tensor, fold: int, *, rest: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        check_arguments(x, offset, gain, fold)
        x = as_dense(x)
        grad = laid_out_as(x, grad.to(x.dtype))
        grad_x = torch.empty_like(x)
        by, gains = steering_for(x, offset, gain)
        grad_offset, grad_gain = torch.empty_like(by), torch.empty_like(gains)
        if x.numel() == 0:
            return grad_x, torch.zeros_like(offset), torch.zeros_like(gain)
        arguments, access = _frames(x, (grad, x, grad_x), gain, fold, rest)
        arguments.source, arguments.features, arguments.target = grad.data_ptr(), x.data_ptr(), grad_x.data_ptr()
        arguments.offset, arguments.gain = by.data_ptr(), gains.data_ptr()
        arguments.grad_offset, arguments.grad_gain = grad_offset.data_ptr(), grad_gain.data_ptr()
        arguments.source_pitch, arguments.features_pitch = _pitch(grad, x, access), _pitch(x, x, access)
        arguments.target_pitch = _pitch(grad_x, x, access)
        arguments.slices = _ceil(arguments.rows * arguments.run, BLOCK)
        arguments.blocks = by.numel() * arguments.slices
        partial = gains.new_empty(gains.numel() * arguments.slices * 2)
        arguments.partial = partial.data_ptr()
        self._launch("backward", access, arguments.blocks + _rest_blocks(arguments), arguments, x)
        self._launch("finish", access, by.numel(), arguments, x)
        return grad_x, grad_offset.to(offset.dtype), grad_gain.to(gain.dtype)

    def _launch(self, name: str, access: Access, blocks: int, arguments: Arguments, like: Tensor) -> None:
        if blocks:
            self._launcher.launch(name, access, blocks, arguments, like.device)


def _frames(x: Tensor, tensors: tuple[Tensor, ...], gain: Tensor, fold: int, rest: int) -> tuple[Arguments, Access]:
    """The shape of ``x`` as arguments of kernels over its frames, and the access that all ``tensors`` allow."""
    clips, frames, groups = gain.shape
    rows, each = _rows(x)
    run, width = fold // groups * each, x.shape[1] * each
    # Where only the fold is touched, its groups and the pitches decide; a rest is a difference of these.
    access = access_for(tensors, (run, *(tensor.shape[1] * each for tensor in tensors)))
    arguments = Arguments(clips=clips, frames=frames, groups=groups, rest_mode=rest, rows=rows)
    arguments.run, arguments.moving = run // access.lanes, fold * each // access.lanes
    arguments.rest = 0 if rest == _LEAVE else (width - fold * each) // access.lanes
    return arguments, access


def _pitch(tensor: Tensor, x: Tensor, access: Access) -> int:
    """How far apart the rows of a tensor are that is laid out as ``x``; its own strides can be those of both."""
    return tensor.shape[1] * _rows(x).each // access.lanes


def _rest_blocks(arguments: Arguments) -> int:
    lines = arguments.clips * arguments.frames * arguments.rows
    return _ceil(lines * arguments.rest, BLOCK * _CHUNK)


def _ceil(count: int, by: int) -> int:
    return -(-count // by)


def _power_of_two(most: int) -> int:
    """The largest power of two that is not above ``most``, and at least 1."""
    return 1 << max(0, most.bit_length() - 1)
