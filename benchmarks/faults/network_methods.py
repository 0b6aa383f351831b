"""Changes of methods, on the backbone and on classes of timm and PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

from torch import Tensor, nn

from tinkit.timm_import import import_timm

from .network_change import Change, patched, scaled_method

METHODS: dict[str, Change] = {}


def _enter_methods() -> None:
    """Methods replaced on the backbone, and on classes of timm and PyTorch: by a function, and by one in disguise."""
    resnet = import_timm().models.resnet
    for name in ("forward", "forward_features", "forward_head"):
        METHODS[f"{name} of the backbone"] = functools.partial(_own_method, name)
    owners: dict[str, tuple[Any, str]] = {
        "ResNet.forward": (resnet.ResNet, "forward"),
        "ResNet.forward_features": (resnet.ResNet, "forward_features"),
        "ResNet.forward_head": (resnet.ResNet, "forward_head"),
        "BasicBlock.forward": (resnet.BasicBlock, "forward"),
        "ReLU.forward": (nn.ReLU, "forward"),
        "Sequential.forward": (nn.Sequential, "forward"),
        "BatchNorm2d.forward": (nn.modules.batchnorm._BatchNorm, "forward"),
        "Conv2d.forward": (nn.Conv2d, "forward"),
        "Conv2d._conv_forward": (nn.Conv2d, "_conv_forward"),
        "Conv1d.forward": (nn.Conv1d, "forward"),
        "Conv1d._conv_forward": (nn.Conv1d, "_conv_forward"),
        "Linear.forward": (nn.Linear, "forward"),
        "Module.__call__": (nn.Module, "__call__"),
        "Module._call_impl": (nn.Module, "_call_impl"),
    }
    for title, (owner, name) in owners.items():
        by = 1.02 if "__call__" in name or "_call_impl" in name or "BatchNorm" in title else 1.3
        for wraps in (False, True):
            value = _scaled_tensors(owner.__dict__[name], by, wraps)
            METHODS[f"{title} of all{' in disguise' if wraps else ''}"] = functools.partial(
                _on_class, owner, name, value
            )
    swapped = resnet.Bottleneck.forward
    METHODS["BasicBlock.forward is another block's"] = lambda model, undo: undo.enter_context(
        patched(resnet.BasicBlock, "forward", _with_parts(swapped))
    )
    METHODS["BasicBlock.forward has other code"] = lambda model, undo: undo.enter_context(
        _recoded(resnet.BasicBlock.forward)
    )


def _scaled_tensors(function: Any, by: float, wraps: bool) -> Any:
    """A function for a class that gives more where ``function`` gives a tensor."""

    def method(self: Any, *given: Any, **settings: Any) -> Any:
        out = function(self, *given, **settings)
        return by * out if isinstance(out, Tensor) else out

    return functools.wraps(function)(method) if wraps else method


def _own_method(name: str, model: Any, undo: ExitStack) -> None:
    setattr(model.backbone, name, MethodType(scaled_method(getattr(type(model.backbone), name)), model.backbone))


def _on_class(owner: Any, name: str, value: Any, model: Any, undo: ExitStack) -> None:
    undo.enter_context(patched(owner, name, value))


def _with_parts(forward: Any) -> Any:
    """A bottleneck's forward for a basic block, which gets what it lacks as it goes."""

    def method(block: Any, x: Tensor) -> Tensor:
        out: Tensor = block.conv1(x)
        shortcut = x if block.downsample is None else block.downsample(x)
        return (block.bn2(block.conv2(block.bn1(out).sigmoid())) + shortcut).relu()

    method.__qualname__, method.__module__, method.__wrapped__ = forward.__qualname__, forward.__module__, forward  # type: ignore[attr-defined]
    return method


@contextmanager
def _recoded(function: Any) -> Iterator[None]:
    before = function.__code__

    def other(self: Any, x: Any) -> Any:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).sigmoid())).abs()

    function.__code__ = other.__code__
    try:
        yield
    finally:
        function.__code__ = before


_enter_methods()
