"""TIN's temporal module: the interlace operator and the two networks that steer it.

As every temporal module, it takes and gives features of ``B*T`` rows, clip-major: row ``b*T + t`` is frame ``t`` of
clip ``b``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from tinkit.architectures import Offsets
from tinkit.defaults import OFFSET_INIT
from tinkit.errors import UserError, did_you_mean
from tinkit.models.backbones.feature_layout import NCHW, FeatureLayout
from tinkit.models.stock import are_plain, nothing_between, still_written, untouched, written
from tinkit.ops import Steering, interlace, steer
from tinkit.ops.library import outside_autocast
from tinkit.ops.steer import GROUPS

MAX_OFFSET = 2.0  # frames; the offsets that a steering network can give lie strictly inside


class TemporalInterlace(nn.Module):
    """The interlace operator with the two small networks that steer it (TIN, arXiv 2001.06499, section 3).

    ``channels // shift_div`` channels, rounded down to a multiple of four, move; both networks read their average over
    height and width. ``offset_init`` is where the offsets start, in frames, between -2 and 2 (published: 0.5). The
    number of frames is part of the weights. ``offsets`` is what offsets depend on: each ``clip`` (published), or
    nothing: they are learned ``once`` for all clips, or stay ``fixed`` at ``offset_init``. Gains depend on the clip in
    all three. ``layout`` is how the features lie; class and register tokens neither move nor count in the average.
    Raises :class:`~tinkit.errors.UserError` for too few channels, an ``offset_init`` out of range, unknown ``offsets``.
    """

    def __init__(
        self,
        channels: int,
        num_segments: int,
        shift_div: int,
        offset_init: float = OFFSET_INIT,
        layout: FeatureLayout = NCHW,
        offsets: Offsets = "clip",
    ) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.layout = layout
        self.fold = fold_channels(channels, shift_div)
        if offsets not in (known := get_args(Offsets)):
            raise UserError(
                f"no offsets are called {offsets!r}{did_you_mean(offsets, known)}", expected=", ".join(known)
            )
        self.offset_net = (
            OffsetNet(self.fold, num_segments, offset_init)
            if offsets == "clip"
            else ConstantOffsets(offset_init, learned=offsets == "once")
        )
        self.gain_net = GainNet(self.fold)
        self.steering = SteeringTap()

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W), or whatever the layout is, in the dtype and memory format of ``x``."""
        offset, gain = self.steer(x)
        return self.layout.back(interlace(self.layout.view(x), offset, gain, self.fold), x)

    def steer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 4) in frames and gains (B, T, 4) for features ``x`` as the forward pass gets them.

        Float32, or float64 where the weights are that, whatever the dtype of the features and also under autocast.
        Networks that were changed, or that hooks watch, are called, and compute in the dtype of their own weights.
        """
        pooled = self.layout.mean(x, self.fold)
        weights = self.weights() if nothing_between() else None
        found = self._call_networks(pooled) if weights is None else steer(pooled, weights)
        offset, gain = self.steering(*found)
        return offset, gain

    def weights(self) -> Steering | None:
        """The weights of both networks, as :func:`tinkit.ops.steer` takes them; None unless it computes what they do.

        It does where clauses 2 to 5 of :mod:`tinkit.models.stock` hold for the networks.
        """
        nets = self.__dict__["_modules"]
        offset, gain = nets["offset_net"], nets["gain_net"]
        if type(offset) is not OffsetNet or type(gain) is not GainNet or not (untouched(offset) and untouched(gain)):
            return None
        if not torch.compiler.is_compiling() and not still_written(_NETWORKS):
            return None
        parts = offset.__dict__["_modules"]
        found: list[Any] = []
        for part in (parts["conv"], parts["fc1"], parts["fc2"], gain.__dict__["_modules"]["conv"]):
            if not untouched(part) or not _is_as_made(part):
                return None
            weights = part.__dict__["_parameters"]  # where a parametrised or pruned module does not have them
            found += (weights.get("weight"), weights.get("bias"))
        fits = are_plain(*found) and found[2].shape[0] == self.num_segments and found[0].shape[0] == 1
        return Steering(*found) if fits else None

    def _call_networks(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """What the networks give when they are called, for the fold's averages (B*T, F), outside autocast."""
        clips = pooled.unflatten(0, (pooled.shape[0] // self.num_segments, self.num_segments)).transpose(1, 2)
        with outside_autocast(pooled.device.type):
            offset = self.offset_net(_as_read_by(self.offset_net, clips))
            return offset, self.gain_net(_as_read_by(self.gain_net, clips))


class SteeringTap(nn.Module):
    """Passes on what steers each forward pass: forward hooks see it, and what one returns steers instead."""

    def forward(self, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 4) and gains (B, T, 4), as they are."""
        return offset, gain


class OffsetNet(nn.Module):
    """The offsets of a clip's four groups from the fold's averages, each in (-2, 2) frames.

    Two are learned, the other two are their opposites: half of the fold looks back, half ahead. As long as it
    is unchanged, :func:`tinkit.ops.steer` computes it, together with the gains.
    """

    def __init__(self, fold: int, num_segments: int, offset_init: float) -> None:
        super().__init__()
        start = offset_logit(offset_init)
        self.conv = nn.Conv1d(fold, 1, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(num_segments, num_segments)
        self.fc2 = nn.Linear(num_segments, GROUPS // 2)
        nn.init.constant_(self.fc2.bias, start)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, T) -> (B, 4), float32 or better."""
        return _both_ways(self.fc2(torch.relu(self.fc1(self.conv(clips).flatten(1)))))


class ConstantOffsets(nn.Module):
    """In place of :class:`OffsetNet`, offsets that are the same for all clips: two parameters, or their start."""

    def __init__(self, offset_init: float, *, learned: bool) -> None:
        super().__init__()
        start = torch.full((GROUPS // 2,), offset_logit(offset_init))
        if learned:
            self.offset_logit = nn.Parameter(start)
        else:
            self.register_buffer("offset_logit", start)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, T) -> (B, 4), float32 or better."""
        return _both_ways(self.offset_logit.expand(clips.shape[0], -1))


class GainNet(nn.Module):
    """The gains of a clip's frames and four groups from the fold's averages, each in (0, 2).

    Two are learned; groups whose offsets are opposites share one. The paper calls it WeightNet. As long as it is
    unchanged, :func:`tinkit.ops.steer` computes it, together with the offsets.
    """

    def __init__(self, fold: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(fold, GROUPS // 2, kernel_size=3, padding=1)
        nn.init.constant_(cast(Tensor, self.conv.bias), 0.0)  # the gain is 1 at zero input

    def forward(self, clips: Tensor) -> Tensor:
        """(B, F, T) -> (B, T, 4), float32 or better."""
        learned = 2 * torch.sigmoid(_at_least_float32(self.conv(clips))).transpose(1, 2)
        return torch.cat([learned, learned], 2)


_NETWORKS = written(
    *((kind, "forward") for kind in (OffsetNet, GainNet, nn.Conv1d, nn.Linear)), (nn.Conv1d, "_conv_forward")
)


def _is_as_made(part: nn.Module) -> bool:
    """Whether it is a Linear, or a convolution of three taps with a zero past either end."""
    if type(part) is nn.Linear:
        return True
    own = part.__dict__
    return (
        type(part) is nn.Conv1d
        and own["kernel_size"] == (3,)
        and own["padding"] == (1,)
        and own["stride"] == (1,)
        and own["dilation"] == (1,)
        and own["groups"] == 1
        and own["padding_mode"] == "zeros"
    )


def offset_logit(offset: float) -> float:
    """What is squashed to ``offset`` frames. Raises :class:`~tinkit.errors.UserError` unless it lies in (-2, 2)."""
    if not -MAX_OFFSET < offset < MAX_OFFSET:
        raise UserError(f"offset_init is {offset:g} frames", expected="a number between -2 and 2, exclusive")
    return math.log((MAX_OFFSET + offset) / (MAX_OFFSET - offset))


def _both_ways(logit: Tensor) -> Tensor:
    """(B, 2) before squashing -> the offsets (B, 4) in frames of all groups."""
    half = torch.tanh(_at_least_float32(logit) / 2) * MAX_OFFSET
    return torch.cat([half, -half], 1)


def _as_read_by(network: nn.Module, clips: Tensor) -> Tensor:
    """``clips`` in the dtype of the network's parameters; float32 where it has none (quantised networks)."""
    dtype = next((found.dtype for found in network.parameters() if found.is_floating_point()), torch.float32)
    return clips.to(dtype)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def fold_channels(channels: int, shift_div: int) -> int:
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
