"""TSM's temporal module, the shift, and where it goes in a ResNet: by the names of the code bases that trained with it.

================ ============================================================= =====================================
name             what is shifted                                               published by
================ ============================================================= =====================================
blockres         the input of ``conv1``: the shortcut sees what was there; in   TSM (arXiv 1811.08383, section 3.3,
                 every second block where ``layer3`` has 23 or more             "residual shift") and its repository
blockres_every   the same in every block, however deep                          X-Temporal
blockres_double  the inputs of ``conv1`` and ``conv2``, in every block          the TIN repository's own shift
block            the input of the whole block, shortcut included, in every one  TSM, section 3.3, "in-place shift"
================ ============================================================= =====================================

The state dict is the plain ResNet's in all four: a checkpoint does not say which one it was trained with.
"""

from __future__ import annotations

from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from tinkit.architectures import ShiftPlace
from tinkit.errors import UserError, did_you_mean
from tinkit.models.backbones.families import RESNET, family_of
from tinkit.models.backbones.feature_layout import NCHW, FeatureLayout
from tinkit.models.backbones.places import Place, places_in
from tinkit.models.temporal.placed import ModuleSettings, precede
from tinkit.ops.reference import interlace_over_time

_PATTERNS: dict[str, tuple[str, ...]] = {
    "blockres_every": ("layer[1-4].*.conv1",),
    "blockres_double": ("layer[1-4].*.conv1", "layer[1-4].*.conv2"),
    "block": ("layer[1-4].*",),
}


class TemporalShift(nn.Module):
    """The shift of TSM (arXiv 1811.08383), as its repository has it: no parameters, whole frames.

    The first ``C // shift_div`` channels take the next frame, as many after them the previous one, zeros past the ends.
    ``layout`` is how the features lie; class and register tokens are not shifted.
    """

    def __init__(self, num_segments: int, shift_div: int, layout: FeatureLayout = NCHW) -> None:
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
        if torch.compiler.is_exporting():
            return self.layout.back(self._exported(features, fold), x)
        shift = _Shift if torch.compiler.is_compiling() else _ShiftBothWays
        return self.layout.back(cast(Tensor, shift.apply(features, self.num_segments, fold, 1)), x)

    def _exported(self, x: Tensor, fold: int) -> Tensor:
        """The shift as interlacing by whole frames: in operations that run fast in other programs."""
        if fold == 0:
            return x
        clips = x.shape[0] // self.num_segments
        offset = x.new_tensor([[-1.0, 1.0]]).expand(clips, 2)
        return interlace_over_time(x, offset, x.new_ones((clips, self.num_segments, 2)), 2 * fold)

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"num_segments={self.num_segments}, shift_div={self.shift_div}"


class _Shift(torch.autograd.Function):
    """Two parts of the channels moved by a frame each; the gradient is the same in the other direction.

    ``direction`` is 1 where the first part takes the next frame, -1 where it takes the previous one.

    Written as one step since autograd would copy the whole gradient once for each of the four parts that are written.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, num_segments: int, fold: int, direction: int) -> Tensor:
        shifted = x.clone()
        out, clips = (y.unflatten(0, (y.shape[0] // num_segments, num_segments)) for y in (shifted, x))
        first, second = slice(fold), slice(fold, 2 * fold)
        ahead, back = (first, second) if direction == 1 else (second, first)
        out[:, :-1, ahead] = clips[:, 1:, ahead]
        out[:, -1, ahead] = 0
        out[:, 1:, back] = clips[:, :-1, back]
        out[:, 0, back] = 0
        return shifted

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.num_segments, ctx.fold, ctx.direction = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        shift = _Shift if torch.compiler.is_compiling() else _ShiftBothWays
        return shift.apply(grad, ctx.num_segments, ctx.fold, -ctx.direction), None, None, None


class _ShiftBothWays(_Shift):
    """With forward-mode differentiation, which ``torch.compile`` does not take."""

    @staticmethod
    def jvp(ctx: Any, along: Tensor, *_: None) -> Tensor:
        return _ShiftBothWays.apply(along, ctx.num_segments, ctx.fold, ctx.direction)


def put_shift(place: Place, settings: ModuleSettings) -> None:
    """Shift what the module at ``place`` is given. Raises :class:`~tinkit.errors.UserError` if none moves."""
    if place.channels // max(settings.shift_div, 1) == 0:
        raise UserError(f"shift_div {settings.shift_div} of {place.channels} channels leaves none to shift")
    precede(place, TemporalShift(settings.num_segments, settings.shift_div, place.layout))


def shift_places_in(backbone: nn.Module, name: str, shift_place: ShiftPlace = "blockres") -> list[Place]:
    """The modules of ``backbone`` (timm's model ``name``) that a shift precedes.

    ``blockres`` has its place in every family. Raises :class:`~tinkit.errors.UserError` for a name that is not known,
    and for the others in anything but a ResNet and where its blocks have no such convolution.
    """
    known = get_args(ShiftPlace)
    if shift_place not in known:
        raise UserError(
            f"no place of the shift is called {shift_place!r}{did_you_mean(shift_place, known)}",
            expected=", ".join(known),
        )
    if shift_place == "blockres":
        return places_in(backbone, name, alternate=True)
    if (family := family_of(name)) is not RESNET:
        raise UserError(f"shift_place {shift_place!r} in a {family.name}", expected="a ResNet, or 'blockres'")
    return [place for pattern in _PATTERNS[shift_place] for place in places_in(backbone, name, pattern)]
