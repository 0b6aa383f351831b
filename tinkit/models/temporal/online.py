"""Temporal modules that look back only, so that a network can read a stream: one frame in, one step, nothing twice.

================ ==================================================================== ===========
name             what a frame's fold becomes                                          frames kept
================ ==================================================================== ===========
``tsm_online``   the fold of the frame before (TSM, arXiv 1811.08383, section 4.2)    1
``tin_online``   the interlace operator's, by the frame's own offsets and gains       2
================ ==================================================================== ===========

Frames before the first are zero. A module is given whole clips, as in training and testing, or, between
:meth:`OnlineModule.begin` and :meth:`OnlineModule.end`, the next frame of a stream; it keeps then what later frames
read. Both ways give a frame the same features.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tinkit.defaults import OFFSET_INIT
from tinkit.errors import UserError
from tinkit.models.backbones.feature_layout import NCHW, FeatureLayout
from tinkit.models.backbones.places import Place
from tinkit.models.temporal.interlace import MAX_OFFSET, fold_channels
from tinkit.models.temporal.placed import ModuleSettings, precede
from tinkit.ops.library import outside_autocast
from tinkit.ops.steer import GROUPS


class OnlineModule(nn.Module):
    """Changes the first ``fold`` channels of each frame by those of the ``kept`` frames before it.

    ``num_segments`` are the frames of a clip; a stream has as many as come. ``layout`` is how the features lie; class
    and register tokens do not move.
    """

    kept: ClassVar[int]

    def __init__(self, num_segments: int, fold: int, layout: FeatureLayout = NCHW) -> None:
        super().__init__()
        self.num_segments, self.fold, self.layout = num_segments, fold, layout
        self._past: dict[str, list[Tensor]] | None = None

    def begin(self) -> None:
        """From now on each forward pass is given one frame of each of N streams, (N, C, H, W), from the first on."""
        self._past = {}

    def end(self) -> None:
        """From now on each forward pass is given whole clips again, and nothing is kept."""
        self._past = None

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W), or whatever the layout is, in the dtype of ``x``."""
        features = self.layout.view(x)
        moved = self.moved(x, features[:, : self.fold])
        return self.layout.back(torch.cat([moved.to(x.dtype), features[:, self.fold :]], 1), x)

    def moved(self, x: Tensor, fold: Tensor) -> Tensor:
        """The new fold (rows, F, H, W) for features ``x``, whose ``fold`` is a view of them."""
        raise NotImplementedError

    def before(self, what: str, values: Tensor) -> list[Tensor]:
        """``values`` (rows, ...) of the frame 1, 2, ..., ``kept`` frames before each; ``what`` names them."""
        if self._past is not None:
            known = self._past.get(what) or [torch.zeros_like(values)] * self.kept
            self._past[what] = [values.detach().clone(), *known[:-1]]  # later layers may write to what they are given
            return known
        clips = values.unflatten(0, (values.shape[0] // self.num_segments, self.num_segments))
        return [_later(clips, by).flatten(0, 1) for by in range(1, self.kept + 1)]

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"num_segments={self.num_segments}, fold={self.fold}"


class OnlineShift(OnlineModule):
    """The uni-directional shift of TSM: ``fold`` channels show the frame before, zeros in the first frame."""

    kept = 1

    def moved(self, x: Tensor, fold: Tensor) -> Tensor:
        """The fold of the frame before each."""
        return self.before("fold", fold)[0]


class OnlineInterlace(OnlineModule):
    """The interlace operator for streams: four groups, with offsets in (0, 2) and gains in (0, 2) of each frame.

    For frame t, group g, offset o and gain w: ``y[t] = w * ((1 - r) * x[t - k] + r * x[t - k - 1])`` with
    ``k = floor(o)`` and ``r = o - k``, as :func:`tinkit.ops.interlace` has it for a whole clip. Offsets and gains are
    ``2 * sigmoid(.)`` of a causal convolution each, over the fold's means (height and width) in frames t - 2, t - 1
    and t. The paper's OffsetNet reads all frames of a clip, which a stream does not have. ``offset_init`` is where
    offsets start, in frames; gains start at one.

    Raises :class:`~tinkit.errors.UserError` for an ``offset_init`` out of range.
    """

    kept = 2

    def __init__(
        self, num_segments: int, fold: int, offset_init: float = OFFSET_INIT, layout: FeatureLayout = NCHW
    ) -> None:
        super().__init__(num_segments, fold, layout)
        if not 0 < offset_init < MAX_OFFSET:
            raise UserError(
                f"offset_init is {offset_init:g} frames",
                expected="a number between 0 and 2, exclusive: a stream only looks back",
            )
        self.offset_conv = nn.Conv1d(fold, GROUPS, kernel_size=self.kept + 1)
        self.gain_conv = nn.Conv1d(fold, GROUPS, kernel_size=self.kept + 1)
        # The inverse of the squashing: at zero input the offset is `offset_init`, and the gain 1.
        nn.init.constant_(cast(Tensor, self.offset_conv.bias), math.log(offset_init / (MAX_OFFSET - offset_init)))
        nn.init.zeros_(cast(Tensor, self.gain_conv.bias))

    def moved(self, x: Tensor, fold: Tensor) -> Tensor:
        """The fold of each frame and of the two before it, weighted by the triangle around its offsets."""
        offset, gain = self.steer(x)
        lower = offset.detach().floor()
        rest = offset - lower
        total: Tensor | None = None
        for k, frames in enumerate([fold, *self.before("fold", fold)]):
            share = torch.where(lower == k, 1 - rest, torch.where(lower == k - 1, rest, 0)) * gain
            each = share.to(fold.dtype).repeat_interleave(self.fold // GROUPS, 1)[:, :, None, None] * frames
            total = each if total is None else total + each
        return cast(Tensor, total)

    def steer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets and gains, both (rows, 4), float32 or better whatever ``x`` is, also under autocast."""
        means = self.layout.mean(x, self.fold)
        window = torch.stack([*reversed(self.before("mean", means)), means], 2)
        with outside_autocast(x.device.type):
            offset, gain = (
                conv(window.to(conv.weight.dtype)).squeeze(2) for conv in (self.offset_conv, self.gain_conv)
            )
        better = torch.promote_types(offset.dtype, torch.float32)
        return MAX_OFFSET * torch.sigmoid(offset.to(better)), 2 * torch.sigmoid(gain.to(better))


def _later(clips: Tensor, by: int) -> Tensor:
    """(B, T, ...) with each frame ``by`` places later, zeros first."""
    by = min(by, clips.shape[1])
    nothing = clips.new_zeros((clips.shape[0], by, *clips.shape[2:]))
    return torch.cat([nothing, clips[:, : clips.shape[1] - by]], 1)


def put_online_shift(place: Place, settings: ModuleSettings) -> None:
    """Shift what the module at ``place`` is given. Raises :class:`~tinkit.errors.UserError` if no channel moves."""
    fold = place.channels // max(settings.shift_div, 1)
    if fold == 0 or settings.shift_div < 1:
        raise UserError(f"shift_div {settings.shift_div} of {place.channels} channels leaves none to shift")
    precede(place, OnlineShift(settings.num_segments, fold, place.layout))


def put_online_interlace(place: Place, settings: ModuleSettings) -> None:
    """Interlace what the module at ``place`` is given. Raises :class:`~tinkit.errors.UserError` as the module does."""
    fold = fold_channels(place.channels, settings.shift_div)
    precede(place, OnlineInterlace(settings.num_segments, fold, settings.offset_init, place.layout))
