"""Convolutions with what follows them as oneDNN's post-ops: bias, activation, and the addition to a shortcut.

The operators are PyTorch's own, made for its compiler, and private. So they are looked for by name and schema, and
tried once a process on small inputs beside plain convolutions; where they are missing, other or wrong, nothing here is
used (:func:`why_not`). Weights are put into the processor's order once, not with every call.

oneDNN's ReLU takes NaN for zero: whoever calls these sees to it that features and weights are finite.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]
_WHERE = "int[] padding, int[] stride, int[] dilation, int groups"
_AND = "str binary_attr, Scalar? alpha, str? unary_attr, Scalar?[] unary_scalars, str? unary_algorithm"
_SCHEMAS = {
    ("_convolution_pointwise", "default"): "(Tensor X, Tensor W, Tensor? B, "
    f"{_WHERE}, str attr, Scalar?[] scalars, str? algorithm) -> Tensor Y",
    (
        "_convolution_pointwise",
        "binary",
    ): f"(Tensor X, Tensor other, Tensor W, Tensor? B, {_WHERE}, {_AND}) -> Tensor Y",
    ("_convolution_pointwise_", "binary"): "(Tensor(a!) other, Tensor X, Tensor W, Tensor? B, "
    f"{_WHERE}, {_AND}) -> Tensor(a!) Y",
    ("_reorder_convolution_weight", "default"): "(Tensor self, int[2] padding=0, int[2] stride=1, int[2] dilation=1, "
    "int groups=1, int[]? input_size=None) -> Tensor Y",
}
_CLOSE = {torch.float32: 1e-5, torch.bfloat16: 4e-2}  # of the largest number of a trial


class Activation(NamedTuple):
    """An activation as oneDNN's post-op: its name and its numbers."""

    name: str
    numbers: tuple[float, ...] = ()


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: Activation("relu"),
    nn.ReLU6: Activation("hardtanh", (0.0, 6.0)),
    nn.SiLU: Activation("swish"),
    nn.Hardswish: Activation("hardswish"),
}
NONE = Activation("none")


class Packed(NamedTuple):
    """A convolution: its weight, in any order, and how it runs."""

    weight: Tensor
    bias: Tensor | None
    padding: Pair
    stride: Pair
    dilation: Pair
    groups: int
    in_channels: int
    out_channels: int
    kernel: Pair

    @property
    def may_add(self) -> bool:
        """Whether :meth:`onto` takes it: of convolutions in groups, PyTorch adds by operators that bfloat16 lacks."""
        return self.groups == 1

    @property
    def _rest(self) -> tuple[Any, ...]:
        return self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups

    def ordered_for(self, x: Tensor) -> Packed:
        """The same with its weight in the order in which the processor reads it for features of the size of ``x``.

        It gives the right numbers for others too, but may then order it anew each time, which takes ten times as long
        as the convolution. Only height and width count.
        """
        rest = (self.padding, self.stride, self.dilation, self.groups)
        order = _operators()._reorder_convolution_weight
        return self._replace(weight=order(self.weight.contiguous(), *rest, tuple(x.shape)))

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of what it makes of ``x``."""
        sides = zip(x.shape[2:], self.padding, self.stride, self.dilation, self.kernel, strict=True)
        return (
            x.shape[0],
            self.out_channels,
            *((n + 2 * pad - wide * (size - 1) - 1) // step + 1 for n, pad, step, wide, size in sides),
        )

    def __call__(self, x: Tensor, then: Activation = NONE) -> Tensor:
        """``then(convolution(x))``, channels_last as ``x`` is."""
        out: Tensor = _operators()._convolution_pointwise(x, *self._rest, then.name, list(then.numbers), "")
        return out

    def onto(self, shortcut: Tensor, x: Tensor, *, relu: bool, write: bool) -> Tensor:
        """``shortcut + convolution(x)``, of equal shapes, and its ReLU; where ``write``, written to ``shortcut``."""
        then: tuple[Any, ...] = ("add", 1.0, "relu" if relu else None, [], "")
        if write:
            out: Tensor = _operators()._convolution_pointwise_.binary(shortcut, x, *self._rest, *then)
        else:
            out = _operators()._convolution_pointwise.binary(x, shortcut, *self._rest, *then)
        return out


def convolution(
    weight: Tensor, bias: Tensor | None, *, padding: Pair, stride: Pair, dilation: Pair, groups: int
) -> Packed:
    """A convolution of ``weight`` (out, in / groups, h, w) and ``bias``, both in the dtype that it computes in."""
    out_channels, of_group, *kernel = weight.shape
    return Packed(
        weight, bias, padding, stride, dilation, groups, of_group * groups, out_channels, (kernel[0], kernel[1])
    )


@functools.cache
def why_not(dtype: torch.dtype) -> str | None:
    """Why convolutions of ``dtype`` run without post-ops in this process; None if they run with them."""
    if dtype not in _CLOSE:
        return f"not tried for {dtype}"
    if not torch.backends.mkldnn.is_available():
        return "this PyTorch was built without oneDNN"
    if (problem := _other_schema()) is not None:
        return problem
    if dtype == torch.bfloat16 and not _operators()._is_mkldnn_bf16_supported():
        return "oneDNN does not compute in bfloat16 on this processor"
    try:
        with torch.inference_mode():
            wrong = next((what for what, off in _trials(dtype) if not off <= _CLOSE[dtype]), None)
    except (RuntimeError, TypeError, AttributeError) as error:  # whatever else such an operator is
        return f"PyTorch's operators raised: {str(error).partition(chr(10))[0][:200]}"
    return None if wrong is None else f"PyTorch's operators gave other numbers than its convolutions: {wrong}"


def _operators() -> Any:
    return torch.ops.mkldnn


def _other_schema() -> str | None:
    for (name, overload), wanted in _SCHEMAS.items():
        found = getattr(getattr(_operators(), name, None), overload, None)
        if found is None:
            return f"this PyTorch has no operator mkldnn::{name}.{overload}"
        if str(found._schema).partition("(")[1:] != ("(", wanted[1:]):
            return f"mkldnn::{name}.{overload} of this PyTorch takes or gives something else"
    return None


def _trials(dtype: torch.dtype) -> Iterator[tuple[str, float]]:
    """How far off each use is, as a share of the largest number."""
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(dtype)

    for groups, size, stride in ((1, 1, 1), (1, 3, 2), (4, 3, 1), (32, 3, 1)):
        x = noise(3, 32, 9, 7).contiguous(memory_format=torch.channels_last)
        weight, bias = noise(32, 32 // groups, size, size) / (size * (32 / groups) ** 0.5), noise(32)
        settings: dict[str, Any] = {
            "padding": (size // 2,) * 2,
            "stride": (stride,) * 2,
            "dilation": (1, 1),
            "groups": groups,
        }
        packed = convolution(weight, bias, **settings).ordered_for(x)
        plain = F.conv2d(x.float(), weight.float(), bias.float(), **settings)
        case = f"{dtype}, {groups} groups, {size}x{size}, stride {stride}"
        yield case, _off(packed(x), plain, dtype)
        for kind, activation in ACTIVATIONS.items():
            yield f"{case}, {activation.name}", _off(packed(x, activation), kind()(plain), dtype)
        for relu, write in product((False, True), repeat=2) if packed.may_add else ():
            shortcut = noise(*plain.shape).contiguous(memory_format=torch.channels_last)
            wanted = plain + shortcut.float()
            found = packed.onto(shortcut, x, relu=relu, write=write)
            yield f"{case}, added", _off(found, wanted.relu() if relu else wanted, dtype)
            if write:
                yield f"{case}, written", _off(shortcut, wanted.relu() if relu else wanted, dtype)


def _off(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> float:
    if (
        found.dtype != dtype
        or found.shape != wanted.shape
        or not found.is_contiguous(memory_format=torch.channels_last)
    ):
        return float("inf")
    return float((found.float() - wanted).abs().max() / wanted.abs().max())
