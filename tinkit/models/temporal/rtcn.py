"""The regularised temporal convolution (r-TCN) that TIN stands for (arXiv 2001.06499, section 3), the long way.

The paper says that interlacing does what a regularised temporal convolution does, at a sixth of its latency. Its own
notation could not be opened; what is meant here follows from the operator. Written over time, interlacing is::

    y[b, t, c] = gain[b, t, g] * sum_s tri(s - offset[b, g]) * x[b, t - s, c]        tri(u) = max(0, 1 - |u|)

with taps ``s`` = -2..2, since offsets lie in (-2, 2). A convolution over time has a free matrix of channels for each
tap. Here every channel's kernel is a triangle of width one, so two numbers describe a group of channels, its centre and
its gain. With the 2D convolution ``W`` behind it, it is one convolution of five frames::

    K[o, c, s] = W[o, c] * gain[g(c)] * tri(s - centre[g(c)])

For equal offsets, and gains that are constant in time, TIN and the convolution behind it give the same as this one.
As a model, it learns the centre and the gain of each group as parameters; TIN finds them for each clip.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinkit.defaults import OFFSET_INIT
from tinkit.errors import UserError
from tinkit.models.backbones.places import Place
from tinkit.models.temporal.interlace import MAX_OFFSET, fold_channels, offset_logit
from tinkit.models.temporal.placed import ModuleSettings, settings_of
from tinkit.ops.steer import GROUPS

REACH = 2  # the farthest tap, in frames
TAPS = 2 * REACH + 1


class TriangleTaps(nn.Module):
    """The kernel over time of every channel: a triangle for the fold, this frame alone for the rest.

    Centres (frames) and gains are squashed as TIN squashes them, into (-2, 2) and (0, 2), but each of the four groups
    learns its own. Two start at ``offset_init``, two at its opposite, as TIN's do; gains start at 1.
    Raises :class:`~tinkit.errors.UserError` for too few channels or an ``offset_init`` out of range.
    """

    def __init__(self, channels: int, shift_div: int, offset_init: float = OFFSET_INIT) -> None:
        super().__init__()
        start = offset_logit(offset_init)
        self.fold = fold_channels(channels, shift_div)
        self.rest = channels - self.fold
        self.centre_logit = nn.Parameter(torch.tensor([start, start, -start, -start]))
        self.gain_logit = nn.Parameter(torch.zeros(GROUPS))

    def centre(self) -> Tensor:
        """Where each group looks, (4,) frames, in (-2, 2): positive is the past."""
        return 2 * MAX_OFFSET * (torch.sigmoid(self.centre_logit) - 0.5)

    def gain(self) -> Tensor:
        """By how much each group is multiplied, (4,), in (0, 2)."""
        return 2 * torch.sigmoid(self.gain_logit)

    def forward(self) -> Tensor:
        """(5, channels): what is taken of the frames from two ahead, ``s`` = -2, to two back, ``s`` = 2."""
        moving = self._triangle(self.gain(), self.centre()).repeat_interleave(self.fold // GROUPS, dim=1)
        still = self._triangle(moving.new_ones(1), moving.new_zeros(1)).expand(TAPS, self.rest)
        return torch.cat([moving, still], dim=1)

    @staticmethod
    def _triangle(gain: Tensor, centre: Tensor) -> Tensor:
        """(5, G): ``gain * tri(s - centre)``, from its two taps that are not zero.

        The derivative takes their place for constant, as interlacing does. That of the absolute value would be zero at
        whole frames, and a centre that starts there would stay.
        """
        taps = torch.arange(-REACH, REACH + 1, device=centre.device)[:, None]
        first = centre.detach().floor()
        part = centre - first
        zero = torch.zeros_like(part)
        return gain * torch.where(taps == first, 1 - part, torch.where(taps == first + 1, part, zero))


class RegularisedConv2d(nn.Conv2d):
    """A 2D convolution made one of five frames by triangles in time.

    It takes over the parameters of ``convolution``, so the state dict keeps the plain convolution's names; those of
    the triangles come under ``temporal.``.

    Every tap convolves every channel of every frame: five times the output channels in one 2D convolution, added up
    frame by frame. Of the ways that ``benchmarks/rtcn.py`` compares it is the one for any kernel and for gradients.
    Raises :class:`~tinkit.errors.UserError` for a convolution in groups, or one that pads with anything but zeros.
    """

    def __init__(
        self, convolution: nn.Conv2d, num_segments: int, shift_div: int, offset_init: float = OFFSET_INIT
    ) -> None:
        if convolution.groups != 1 or convolution.padding_mode != "zeros":
            raise UserError(
                f"r-TCN before a convolution of {convolution.groups} groups, padding with {convolution.padding_mode}",
                expected="a convolution of one group that pads with zeros",
            )
        super().__init__(**settings_of(convolution), device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias
        self.num_segments = num_segments
        self.temporal = TriangleTaps(convolution.in_channels, shift_div, offset_init)

    def kernel(self) -> Tensor:
        """``K`` with its taps first, (5, out_channels, in_channels, kh, kw)."""
        taps = cast(Tensor, self.temporal())
        return self.weight * taps[:, None, :, None, None].to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, out_channels, H', W'); frames outside the clip are zero."""
        taps = F.conv2d(x, self.kernel().flatten(0, 1), None, self.stride, self.padding, self.dilation)
        clips = taps.unflatten(0, (x.shape[0] // self.num_segments, self.num_segments)).unflatten(2, (TAPS, -1))
        out = clips[:, :, REACH]
        out = out.clone() if self.bias is None else out + self.bias[:, None, None].to(out.dtype)
        for frames in range(1, REACH + 1):
            kept = max(self.num_segments - frames, 0)
            out[:, frames:] += clips[:, :kept, REACH + frames]  # what came before
            out[:, :kept] += clips[:, frames:, REACH - frames]  # what comes after
        return out.flatten(0, 1)


def put_regularised(place: Place, settings: ModuleSettings) -> None:
    """Make the plain 2D convolution at ``place`` one of five frames.

    Raises :class:`~tinkit.errors.UserError` for any other module, and as :class:`RegularisedConv2d`.
    """
    if type(place.module) is not nn.Conv2d:
        raise UserError(
            f"r-TCN in place of a {type(place.module).__name__}",
            expected="a plain 2D convolution, of which it makes one over time",
            fix="name another module by 'place', or take temporal = 'tin', which any module can follow",
        )
    setattr(place.owner, place.attribute, RegularisedConv2d(place.module, *settings[:3]))
