"""Put a temporal module in front of a module of a backbone; the backbone keeps its names and its weights.

Before a plain convolution the two become one :class:`TemporalConv2d`, which runs as one operator. Before anything else
(attention, a norm, a convolution of another kind) the module stays as it is, gets a submodule ``temporal``, and a hook
gives it what that makes of its input.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from tinkit.models.places import Place
from tinkit.models.temporal import TemporalInterlace
from tinkit.ops import steered_conv


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
        place.module.register_forward_pre_hook(_move_input)


def _move_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Names the module that it is called with, and none else, so that a copied model moves by its own weights."""
    return (cast(nn.Module, module.temporal)(inputs[0]), *inputs[1:])


class TemporalConv2d(nn.Conv2d):
    """A convolution with a temporal module in front of it.

    It takes over the parameters of ``convolution``, so the state dict keeps the plain convolution's names; those of
    ``temporal`` come under ``temporal.``.

    A plain :class:`TemporalInterlace` and the convolution run as one operator, which writes to ``x`` while it runs and
    puts everything back (:mod:`tinkit.ops.conv`). One that hooks watch, or whose ``forward`` is another, is called like
    any other module, and so it is where the convolution pads with anything but zeros.
    """

    def __init__(self, convolution: nn.Conv2d, temporal: nn.Module) -> None:
        super().__init__(**settings_of(convolution), device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias
        self.temporal = temporal

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> what the convolution makes of the moved features."""
        temporal = self.interlace()
        if temporal is None:
            return self.convolve(self.temporal(x))
        pads = cast(tuple[int, int], self.padding)
        out, offset, gain = steered_conv(
            x, temporal.fold, temporal.weights(), self.weight, self.bias, self.stride, pads, self.dilation, self.groups
        )
        temporal.steering(offset, gain)
        return out

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution alone, of features that were moved already."""
        return super().forward(x)

    def interlace(self) -> TemporalInterlace | None:
        """The temporal module, where it and the convolution may run as operators instead of being called."""
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return (
            self.temporal
            if plain and isinstance(self.temporal, TemporalInterlace) and _is_plain(self.temporal)
            else None
        )


def _is_plain(module: TemporalInterlace) -> bool:
    """Whether nobody changed or watches what the module gives: else it is called as it is."""
    backward = module._backward_hooks or module._backward_pre_hooks
    return type(module).forward is TemporalInterlace.forward and not is_watched(module) and not backward


def is_watched(module: nn.Module) -> bool:
    """Whether somebody sees what goes in or out of a forward pass, or has given the module another ``forward``."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)
