"""Put a temporal module in front of a module of a backbone; the backbone keeps its names and its weights.

Before a plain convolution the two become one :class:`TemporalConv2d`, which runs as one operator. Before anything else
(attention, a norm, a convolution of another kind) the module stays as it is, gets a submodule ``temporal``, and a hook
gives it what that makes of its input.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tinkit.architectures import Offsets
from tinkit.models.backbones.feature_layout import NCHW
from tinkit.models.backbones.places import Place
from tinkit.models.stock import are_plain, nothing_between, still_written, untouched, written
from tinkit.models.temporal.interlace import SteeringTap, TemporalInterlace
from tinkit.ops import Steering, fold_mean, interlaced_conv, steer, steered_conv
from tinkit.ops.conv import Pair


class ModuleSettings(NamedTuple):
    """The settings of a temporal module at one place.

    ``num_segments`` are the frames of a clip there. One channel in ``shift_div`` moves; 1 where nothing was published
    or said. ``offset_init`` is where offsets start, in frames, ``offsets`` what they depend on.
    """

    num_segments: int
    shift_div: int
    offset_init: float
    offsets: Offsets = "clip"


def put_interlace(place: Place, settings: ModuleSettings) -> None:
    """Interlace what the module at ``place`` is given. Raises as :class:`TemporalInterlace`."""
    frames, shift_div, offset_init, offsets = settings
    precede(place, TemporalInterlace(place.channels, frames, shift_div, offset_init, place.layout, offsets))


def settings_of(convolution: nn.Conv2d) -> dict[str, Any]:
    """The arguments that make another convolution like this one."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return {name: getattr(convolution, name) for name in names} | {"bias": convolution.bias is not None}


def precede(place: Place, temporal: nn.Module) -> None:
    """Let ``temporal`` change what the module at ``place`` is given from now on.

    In the state dict the module's own names stay, and those of ``temporal`` come under its name and ``temporal.``.
    """
    if type(place.module) is nn.Conv2d:
        setattr(place.owner, place.attribute, TemporalConv2d(place.module, temporal))
    else:
        place.module.temporal = temporal
        place.module.register_forward_pre_hook(MovesInput(temporal))


class MovesInput:
    """The hook that gives a module what its submodule ``temporal`` makes of its input.

    A copied model has copied hooks, which move by the copy's weights. A module that takes this one's place with its
    hooks alone (a quantised one) has no submodules: its input is moved by ``temporal`` as it was.
    """

    def __init__(self, temporal: nn.Module) -> None:
        self.temporal = temporal

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, of which the first is moved."""
        temporal = getattr(module, "temporal", self.temporal)
        return (temporal(inputs[0]), *inputs[1:])


class TemporalConv2d(nn.Conv2d):
    """A convolution with a temporal module in front of it.

    It takes over the parameters of ``convolution``, so the state dict keeps the plain convolution's names; those of
    ``temporal`` come under ``temporal.``.

    An unchanged, unobserved :class:`TemporalInterlace` (:mod:`tinkit.models.stock`) and the convolution run as
    one operator, which writes to ``x`` while it runs and puts everything back (:mod:`tinkit.ops.conv`). Any other is
    called like any other module, and so it is where the convolution pads with anything but zeros.
    """

    def __init__(self, convolution: nn.Conv2d, temporal: nn.Module) -> None:
        super().__init__(**settings_of(convolution), device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias
        self.temporal = temporal

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> what the convolution makes of the moved features."""
        operands = self.operands(x)
        if operands is None:
            return self.convolve(self.temporal(x))
        temporal, steering = operands
        rest = (self.weight, self.bias, self.stride, cast(Pair, self.padding), self.dilation, self.groups)
        if untouched(temporal.steering) and type(temporal.steering) is SteeringTap:
            return steered_conv(x, temporal.fold, steering, *rest)[0]
        offset, gain = temporal.steering(*steer(fold_mean(x, temporal.fold), steering))
        return interlaced_conv(x, offset, gain, temporal.fold, *rest)

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution alone, of features that were moved already."""
        return super().forward(x)

    def operands(self, x: Tensor) -> tuple[TemporalInterlace, Steering] | None:
        """The temporal module and its steering's weights, where operators may stand for it and this convolution."""
        own = self.__dict__
        temporal = own["_modules"]["temporal"]
        if type(temporal) is not TemporalInterlace or own["padding_mode"] != "zeros" or isinstance(own["padding"], str):
            return None
        if not (nothing_between() and untouched(temporal) and temporal.layout == NCHW):
            return None
        if not torch.compiler.is_compiling() and not (_convolves_as_made(self) and still_written(_REPLACED)):
            return None
        bias = () if self.bias is None else (self.bias,)
        if type(x) is not Tensor or not are_plain(self.weight, *bias):
            return None
        steering = temporal.weights()
        return None if steering is None else (temporal, steering)


_REPLACED = written(
    (TemporalConv2d, "convolve"),
    (nn.Conv2d, "forward"),
    (nn.Conv2d, "_conv_forward"),
    (TemporalInterlace, "forward"),
    (TemporalInterlace, "steer"),
    (SteeringTap, "forward"),
)


def _convolves_as_made(module: TemporalConv2d) -> bool:
    """Whether a class made of this one (parametrised, say) convolves as this one; hooks on it are called anyway."""
    kind, own = type(module), module.__dict__
    same = kind is TemporalConv2d or (
        kind.convolve is TemporalConv2d.convolve and kind._conv_forward is nn.Conv2d._conv_forward
    )
    return same and "convolve" not in own and "_conv_forward" not in own
