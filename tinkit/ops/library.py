"""The library in PyTorch's dispatcher that every operator of tinkit belongs to, and how native kernels come into it.

An operator is registered in Python: its schema, its plain implementation for any device, its shapes, gradients and rule
under autocast. A native kernel, registered for the key CPU or CUDA, is preferred by the dispatcher once it is there.
The plain implementation is what runs until then: it asks for the native kernels of its device once, calls the operator
again if that has brought one for it, and computes otherwise.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

_LIBRARY = torch.library.Library("tinkit", "FRAGMENT")
_NATIVE = {"cpu": ("tinkit.ops.native", "CPU"), "cuda": ("tinkit.ops.cuda", "CUDA")}  # device: module, dispatch key
# A compiler must hand over tensors laid out as they were when the graph was made: results follow the features' layout.
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)


def define(schema: str) -> None:
    """Declare an operator of the namespace ``tinkit``; its first argument must be a tensor.

    It runs outside autocast, on the tensors it is given, unless :func:`autocast_rule` says otherwise.
    """
    _LIBRARY.define(schema, tags=_TAGS)


def plain(name: str) -> Callable[[Function], Function]:
    """Register the implementation of an operator that runs on every device which has no native kernel."""

    def register(function: Function) -> Function:
        asked: set[str] = set()  # devices; asking again, at every call, would take longer than some operators

        @functools.wraps(function)
        def kernel(first: Tensor, *rest: Any) -> Any:
            device = first.device.type
            if device not in asked:
                asked.add(device)
                if _native_kernel_appears(name, device):
                    return getattr(torch.ops.tinkit, name)(first, *rest)
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                with torch.autocast(device, enabled=False):
                    return function(first, *rest)
            return function(first, *rest)

        _LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
        return function

    return register


def fake(name: str) -> Callable[[Function], Function]:
    """Register the function that tells an operator's results by shape, dtype and layout alone."""

    def register(function: Function) -> Function:
        torch.library.register_fake(f"tinkit::{name}", function, lib=_LIBRARY)
        return function

    return register


def gradients(name: str, save: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Register what an operator saves for its backward pass (``setup_context``) and the backward pass itself."""
    torch.library.register_autograd(f"tinkit::{name}", backward, setup_context=save, lib=_LIBRARY)


def autocast_rule(name: str, cast: Callable[..., tuple[Any, ...]]) -> None:
    """Register what an operator does under autocast: it runs outside, on its arguments as ``cast`` changes them.

    ``cast`` is given the autocast dtype of the first argument's device, then the arguments.
    """

    def kernel(first: Tensor, *rest: Any) -> Any:
        device = first.device.type
        arguments = cast(torch.get_autocast_dtype(device), first, *rest)
        with torch.autocast(device, enabled=False):
            return getattr(torch.ops.tinkit, name)(*arguments)

    for key in ("AutocastCPU", "AutocastCUDA"):
        _LIBRARY.impl(name, kernel, key)


def to_autocast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``tensor`` in the autocast dtype; float64 stays, as everywhere under autocast."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _native_kernel_appears(name: str, device: str) -> bool:
    """Whether asking for native kernels has just brought one.

    One that was there before does not count: whoever comes here past it must not be sent in circles.
    """
    if device not in _NATIVE:
        return False
    module, key = _NATIVE[device]
    operator = f"tinkit::{name}"
    if torch._C._dispatch_has_kernel_for_dispatch_key(operator, key):
        return False
    _load(module)
    return torch._C._dispatch_has_kernel_for_dispatch_key(operator, key)


@functools.cache
def _load(module: str) -> None:
    if importlib.util.find_spec(module) is not None:
        importlib.import_module(module).load()
