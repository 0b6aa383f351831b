"""The weights of a network's convolutions, merged with norms, in the order that the processor wants them.

They are made of the network's own parameters and kept with it, and are known by what those held: before every forward
pass all of them are read, at the speed of memory (:mod:`tinkit.ops.prints`), and what was made of others is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinkit.models.fused.merge import merged
from tinkit.models.stock import are_plain
from tinkit.ops.post_ops import Packed, convolution
from tinkit.ops.prints import Print, prints

_LARGEST = 1e6
"""Of a weight: with larger ones features could overflow between convolutions, where ReLU would take NaN for zero."""
_SIZES = 4  # for which weights are kept

Key = tuple[int, int, torch.dtype]


class Ready:
    """A convolution, with a norm behind it or not, for features of the sizes that it has met."""

    def __init__(self, convolution: nn.Conv2d, norm: Any, dtype: torch.dtype) -> None:
        self._made_from = convolution, norm, dtype
        self._unordered: Packed | None = _merged(convolution, norm, dtype)
        self._ordered: dict[tuple[int, ...], Packed] = {}
        parts = (self._unordered.weight, self._unordered.bias)
        self.too_large = not all(part is None or bool(part.abs().max() <= _LARGEST) for part in parts)
        self.settings = self._unordered._replace(weight=Tensor(), bias=None)

    def at(self, x: Tensor) -> Packed:
        """The convolution for features of the height and width of ``x``."""
        size = tuple(x.shape[2:])
        found = self._ordered.get(size)
        if found is None:
            found = (self._unordered or _merged(*self._made_from)).ordered_for(x)
            if len(self._ordered) >= _SIZES:
                self._ordered.clear()
            self._ordered[size], self._unordered = found, None
        return found


class _Kept(NamedTuple):
    made_of: tuple[Any, ...]
    modules: tuple[nn.Module | None, ...]  # so that no other gets their ids
    ready: Ready


class FusedWeights:
    """What was made of one network's weights; a copy of the network, or one that was pickled, makes its own."""

    def __init__(self) -> None:
        self._kept: dict[Key, _Kept] = {}
        self._finite: frozenset[Print] = frozenset()

    def __len__(self) -> int:
        """How many convolutions are ready to run fused."""
        return len(self._kept)

    def __deepcopy__(self, _memo: dict[int, Any]) -> FusedWeights:
        return FusedWeights()

    def __reduce__(self) -> tuple[type[FusedWeights], tuple[()]]:
        return FusedWeights, ()

    def see(self, network: nn.Module) -> SeenWeights | None:
        """The weights as they are now; None where one is non-finite."""
        tensors = list(_plain_tensors(network))
        found = prints(tensors)
        for tensor, its in zip(tensors, found, strict=True):
            if its not in self._finite and not bool(tensor.isfinite().all()):
                return None
        self._finite = frozenset(found)
        return SeenWeights(self._kept, {id(tensor): its for tensor, its in zip(tensors, found, strict=True)}, tensors)

    def forget_others(self, seen: SeenWeights, dtype: torch.dtype) -> None:
        """Drop what a forward pass in ``dtype`` did not use: its layers are gone."""
        self._kept = {key: kept for key, kept in list(self._kept.items()) if key in seen.used or key[2] != dtype}


class SeenWeights:
    """The weights of a network in one forward pass, as they were when it began."""

    def __init__(self, kept: dict[Key, _Kept], found: dict[int, Print], tensors: list[Tensor]) -> None:
        self._kept, self._prints, self._tensors = kept, found, tensors
        self.used: set[Key] = set()
        self.too_large = False  # a convolution was left out since features could overflow in it

    def ready(self, conv: nn.Conv2d, norm: Any, dtype: torch.dtype) -> Ready | None:
        """``conv`` with ``norm`` behind it (None: with nothing), in ``dtype``; None where it cannot be."""
        tensors = [*_parameters(conv, "weight", "bias")]
        settings: tuple[Any, ...] = tuple(conv.__dict__[name] for name in _SETTINGS)
        if norm is not None:
            tensors += [*_parameters(norm, "weight", "bias"), norm.running_mean, norm.running_var]
            settings += (norm.eps,)
        found = [None if tensor is None else self._prints.get(id(tensor)) for tensor in tensors]
        if not _fit(tensors, conv.groups, found):
            return None
        made_of = (*settings, *found)
        key = (id(conv), id(norm), dtype)
        self.used.add(key)
        kept = self._kept.get(key)
        if kept is None or kept.made_of != made_of:
            kept = self._kept[key] = _Kept(made_of, (conv, norm), Ready(conv, norm, dtype))
        self.too_large |= kept.ready.too_large
        return None if kept.ready.too_large else kept.ready


_SETTINGS = ("padding", "stride", "dilation", "groups")


def _fit(tensors: Sequence[Tensor | None], groups: int, found: Sequence[Print | None]) -> bool:
    """Whether these are a convolution's weight and what has a number for each of its outputs, and all were seen."""
    weight = tensors[0]
    if weight is None or weight.ndim != 4 or weight.shape[0] % groups:
        return False
    whole = all(tensor is None or tuple(tensor.shape) == (weight.shape[0],) for tensor in tensors[1:])
    return whole and all(tensor is None or its is not None for tensor, its in zip(tensors, found, strict=True))


def _merged(conv: nn.Conv2d, norm: Any, dtype: torch.dtype) -> Packed:
    weight, bias = (conv.weight, conv.bias) if norm is None else merged(conv, norm)
    settings = {name: conv.__dict__[name] for name in _SETTINGS}
    return convolution(weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype), **settings)


def _parameters(module: nn.Module, *names: str) -> list[Tensor | None]:
    own = module.__dict__["_parameters"]
    return [own[name] for name in names]


def _plain_tensors(network: nn.Module) -> Iterator[Tensor]:
    """Every floating tensor of the network that lies on the CPU as PyTorch's ordinary tensors do, once."""
    seen: set[int] = set()
    for module in network.modules():
        own = module.__dict__
        for tensor in (*own["_parameters"].values(), *own["_buffers"].values()):
            if tensor is None or id(tensor) in seen or not are_plain(tensor):
                continue
            if tensor.is_cpu and tensor.layout == torch.strided and tensor.is_floating_point():
                seen.add(id(tensor))
                yield tensor
