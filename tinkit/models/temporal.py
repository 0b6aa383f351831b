"""The temporal modules of 2D networks.

A 2D backbone sees ``B`` clips of ``T`` frames as ``B*T`` images, clip-major: row ``b*T + t`` is frame ``t`` of clip
``b``. A temporal module takes and gives features of that many rows, in the layout that it was made for, and moves them
between the frames of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from tinkit.as_published import OFFSET_INIT
from tinkit.errors import UserError
from tinkit.models.layouts import NCHW, Layout
from tinkit.ops import Steering, interlace, steer

GROUPS = 4
MAX_OFFSET = 2.0  # frames; the offsets that a steering network can give lie strictly inside


class TemporalInterlace(nn.Module):
    """The interlace operator with the two small networks that steer it (TIN, arXiv 2001.06499, section 3).

    ``channels // shift_div`` channels, rounded down to a multiple of four, move; both networks read their average over
    height and width. ``offset_init`` is where the offsets start, in frames, between -2 and 2 (published: 0.5). The
    number of frames is part of the weights. ``layout`` is how the features lie; class and register tokens neither move
    nor count in the average.
    Raises :class:`~tinkit.errors.UserError` for too few channels or an ``offset_init`` out of range.
    """

    def __init__(
        self, channels: int, num_segments: int, shift_div: int, offset_init: float = OFFSET_INIT, layout: Layout = NCHW
    ) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.layout = layout
        self.fold = interlace_fold(channels, shift_div)
        self.offset_net = OffsetNet(self.fold, num_segments, offset_init)
        self.gain_net = GainNet(self.fold)
        self.steering = SteeringTap()

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W), or whatever the layout is, in the dtype and memory format of ``x``."""
        offset, gain = self.steer(x)
        return self.layout.back(interlace(self.layout.view(x), offset, gain, self.fold), x)

    def steer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 4) in frames and gains (B, T, 4) for features ``x`` as the forward pass gets them.

        Float32, or float64 where the weights are that, whatever the dtype of the features and also under autocast.
        """
        offset, gain = self.steering(*steer(self.layout.mean(x, self.fold), self.weights()))
        return offset, gain

    def weights(self) -> Steering:
        """The weights of both networks, as :func:`tinkit.ops.steer` takes them."""
        conv, fc1, fc2, gain = self.offset_net.conv, self.offset_net.fc1, self.offset_net.fc2, self.gain_net.conv
        return Steering(
            conv.weight, cast(Tensor, conv.bias), fc1.weight, fc1.bias, fc2.weight, fc2.bias,
            gain.weight, cast(Tensor, gain.bias),
        )  # fmt: skip


class SteeringTap(nn.Module):
    """Passes on what steers each forward pass, so that forward hooks see it; it has no weights and changes nothing."""

    def forward(self, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 4) and gains (B, T, 4), as they are."""
        return offset, gain


class OffsetNet(nn.Module):
    """The weights that give the offsets of a clip's four groups from the fold's averages (B, F, T), each in (-2, 2).

    Two are learned, the other two are their opposites: half of the fold looks back, half ahead. Computed, together with
    the gains, by :func:`tinkit.ops.steer`.
    """

    def __init__(self, fold: int, num_segments: int, offset_init: float) -> None:
        super().__init__()
        if not -MAX_OFFSET < offset_init < MAX_OFFSET:
            raise UserError(f"offset_init is {offset_init:g} frames", expected="a number between -2 and 2, exclusive")
        self.conv = nn.Conv1d(fold, 1, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(num_segments, num_segments)
        self.fc2 = nn.Linear(num_segments, GROUPS // 2)
        # The inverse of the squashing: at zero input the offset is `offset_init`.
        nn.init.constant_(self.fc2.bias, math.log((MAX_OFFSET + offset_init) / (MAX_OFFSET - offset_init)))


class GainNet(nn.Module):
    """The weights that give the gains of a clip's frames and four groups from the fold's averages, each in (0, 2).

    Two are learned; groups whose offsets are opposites share one. The paper calls it WeightNet.
    """

    def __init__(self, fold: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(fold, GROUPS // 2, kernel_size=3, padding=1)
        nn.init.constant_(cast(Tensor, self.conv.bias), 0.0)  # the gain is 1 at zero input


class TemporalShift(nn.Module):
    """The shift of TSM (arXiv 1811.08383), as its repository has it: no parameters, whole frames.

    The first ``C // shift_div`` channels take the next frame, as many after them the previous one, zeros past the ends.
    ``layout`` is how the features lie; class and register tokens are not shifted.
    """

    def __init__(self, num_segments: int, shift_div: int, layout: Layout = NCHW) -> None:
        super().__init__()
        if shift_div < 2:
            raise UserError(f"shift_div is {shift_div}", expected="2 or more: two parts of the channels are shifted")
        self.num_segments = num_segments
        self.shift_div = shift_div
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W), or whatever the layout is, in the dtype and memory format of ``x``."""
        features = self.layout.view(x)
        fold = features.shape[1] // self.shift_div
        return self.layout.back(cast(Tensor, _Shift.apply(features, self.num_segments, fold, False)), x)

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"num_segments={self.num_segments}, shift_div={self.shift_div}"


class _Shift(torch.autograd.Function):
    """Two parts of the channels moved by a frame each; the gradient is the same with the directions exchanged.

    Written as one step since autograd would copy the whole gradient once for each of the four parts that are written.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, num_segments: int, fold: int, exchanged: bool) -> Tensor:
        ctx.num_segments, ctx.fold, ctx.exchanged = num_segments, fold, exchanged
        shifted = x.clone()
        out, clips = (y.unflatten(0, (y.shape[0] // num_segments, num_segments)) for y in (shifted, x))
        first, second = slice(fold), slice(fold, 2 * fold)
        ahead, back = (second, first) if exchanged else (first, second)
        out[:, :-1, ahead] = clips[:, 1:, ahead]
        out[:, -1, ahead] = 0
        out[:, 1:, back] = clips[:, :-1, back]
        out[:, 0, back] = 0
        return shifted

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _Shift.apply(grad, ctx.num_segments, ctx.fold, not ctx.exchanged), None, None, None


def interlace_fold(channels: int, shift_div: int) -> int:
    """How many channels move: ``channels // shift_div`` rounded down to a multiple of the four groups.

    Raises :class:`~tinkit.errors.UserError` if that is none.
    """
    fold = channels // shift_div // GROUPS * GROUPS if shift_div >= 1 else 0
    if fold == 0:
        raise UserError(
            f"shift_div {shift_div} of {channels} channels leaves none to move in {GROUPS} groups",
            expected=f"shift_div from 1 to {channels // GROUPS}"
            if channels >= GROUPS
            else f"{GROUPS} channels or more",
        )
    return fold


@contextmanager
def record_steering(model: nn.Module) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Collect what steers the interlacing of every forward pass of the block, without waiting for the device.

    Yields ``{name of the TemporalInterlace: [(offset (B, 4), gain (B, T, 4)), ...]}``, one entry a forward pass; the
    tensors are detached and stay where the model is. Uses forward hooks, which a model that is already compiled does
    not call: pass the module that was given to ``torch.compile`` and run that.
    """
    record: dict[str, list[tuple[Tensor, Tensor]]] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, TemporalInterlace):
            record[name] = []
            handles.append(module.steering.register_forward_hook(_keeper(record[name])))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _keeper(entries: list[tuple[Tensor, Tensor]]) -> Any:
    def keep(_module: nn.Module, _inputs: Any, steering: tuple[Tensor, Tensor]) -> None:
        offset, gain = steering
        entries.append((offset.detach(), gain.detach()))

    return keep
