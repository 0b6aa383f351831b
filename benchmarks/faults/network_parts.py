"""Modules, tensors and modes of a user's own, for changes of networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class Scaled(nn.Module):
    """What LoRA and the like do: a module around another."""

    def __init__(self, base: nn.Module, by: float = 1.5) -> None:
        super().__init__()
        self.base, self.by = base, by

    def forward(self, *given: Tensor) -> Any:
        """Whatever ``base`` gives, times ``by``."""
        return self.by * self.base(*given)


class LowRank(nn.Module):
    """A Linear or convolution with a product of two thin matrices beside it."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        generator = torch.Generator().manual_seed(7)
        out, into = base.weight.shape[0], base.weight[0].numel()
        self.a = nn.Parameter(torch.randn(out, 2, generator=generator) * 0.3)
        self.b = nn.Parameter(torch.randn(2, into, generator=generator) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        """As ``base``, with weights moved by ``a @ b``."""
        delta = (self.a @ self.b).view_as(self.base.weight)
        if isinstance(self.base, nn.Linear):
            return self.base(x) + nn.functional.linear(x, delta)
        convolve = nn.functional.conv1d if delta.ndim == 3 else nn.functional.conv2d
        return self.base(x) + convolve(x, delta, None, self.base.stride, self.base.padding)


class Sloped(nn.ReLU):
    """A ReLU by its class, and not by what it does."""

    def forward(self, x: Tensor) -> Tensor:
        """Leaky."""
        return nn.functional.leaky_relu(x, 0.3)


class HalfStage(nn.Sequential):
    """A stage with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """Half of what it was."""
        return 0.5 * super().forward(x)


class Turned(nn.Module):
    """A shortcut that is a view of what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows and columns exchanged."""
        return x.transpose(2, 3)


class Held(nn.Module):
    """A shortcut that keeps what it is given, and adds it the next time."""

    def forward(self, x: Tensor) -> Tensor:
        """Features, and beside them the same."""
        self.kept = x
        return self.kept.view(x.shape)


class ScaleOp(nn.Module):
    """Twice, as a parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        """Twice ``weight``."""
        return 2 * weight


class Loud(Tensor):
    """A subclass of tensors with a convolution and a product of its own."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = [arg.as_subclass(Tensor) if isinstance(arg, Loud) else arg for arg in args]
        out = func(*plain, **(kwargs or {}))
        named = getattr(func, "__name__", "")
        return 1.5 * out if named in ("conv2d", "conv1d", "linear") else out


class LouderConvolutions(TorchDispatchMode):
    """Every convolution of PyTorch gives more."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten  # in inference mode they come whole
        convolutions = (aten.convolution.default, aten.conv2d.default, aten.conv1d.default)
        out = func(*args, **(kwargs or {}))
        return 1.3 * out if func in convolutions else out


class LouderFunctions(TorchFunctionMode):
    """Every ReLU and convolution called from Python gives more."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        return 1.2 * out if getattr(func, "__name__", "") in ("relu", "relu_", "conv2d") else out
