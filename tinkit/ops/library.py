"""The library in PyTorch's dispatcher that every operator of tinkit belongs to, and how native kernels come into it.

An operator is registered in Python: its schema, its plain implementation for any device, its shapes, gradients, rule
under autocast and what it counts as (:mod:`tinkit.ops.flops`). A native kernel, registered for a device's key, is
preferred by the dispatcher once it is there. The plain implementation is what runs until then: it asks for the native
kernels of its device (:data:`DEVICES`) once, calls the operator again if that has brought one for it, and computes
otherwise.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

Function = TypeVar("Function", bound=Callable[..., Any])


class Device(NamedTuple):
    """A kind of device that has native kernels, and where they come from.

    ``name`` is PyTorch's (``x.device.type``). ``module`` has a function ``load() -> bool`` that registers them for the
    dispatch key ``key``; ``autocast`` is the key under autocast.
    """

    name: str
    module: str
    key: str
    autocast: str


DEVICES = (
    Device("cpu", "tinkit.ops.native", "CPU", "AutocastCPU"),
    Device("cuda", "tinkit.ops.cuda", "CUDA", "AutocastCUDA"),
)
"""To add a device, add a row and its module: docs/extending/device.md."""

_LIBRARY = torch.library.Library("tinkit", "FRAGMENT")
# A compiler must hand over tensors laid out as they were when the graph was made: results follow the features' layout.
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)


def define(schema: str) -> None:
    """Declare an operator of the namespace ``tinkit``; its first argument must be a tensor.

    It runs outside autocast, on the tensors it is given, unless :func:`autocast_rule` says otherwise.
    """
    _LIBRARY.define(schema, tags=_TAGS)


def define_inner(schema: str) -> None:
    """Declare an operator that others are made of. It has no gradients, and says so where they would be needed."""
    define(schema)
    name = schema.partition("(")[0]

    def kernel(keys: Any, *arguments: Any) -> Any:
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*arguments):
            raise RuntimeError(f"tinkit::{name} has no gradients: call it under torch.no_grad()")
        operator = getattr(torch.ops.tinkit, name).default
        return operator.redispatch(keys & torch._C._after_autograd_keyset, *arguments)

    _LIBRARY.impl(name, kernel, "Autograd", with_keyset=True)


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


def gradients(
    name: str,
    save: Callable[..., None],
    backward: Callable[..., Any],
    arguments: Callable[[Any], Sequence[Any]],
    again: Callable[..., Any],
) -> None:
    """Register what an operator saves for its backward pass (``setup_context``) and the backward pass itself.

    That pass cannot be differentiated. Where it has to be (``create_graph=True``), it is instead that of ``again``: the
    operator in operations that autograd knows, applied to its ``arguments``, of which ``save`` has kept enough.
    """

    def either(ctx: Any, *grads: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            return _differentiable(again, arguments(ctx), ctx.needs_input_grad, grads)
        return backward(ctx, *grads)

    torch.library.register_autograd(f"tinkit::{name}", either, setup_context=save, lib=_LIBRARY)


def outside_autocast(device: str) -> AbstractContextManager[Any]:
    """A block in which autocast is off on the device of this type; on some, such as meta, there is none to turn off."""
    cast_down = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if cast_down else nullcontext()


def _differentiable(
    function: Callable[..., Any], arguments: Sequence[Any], needs: Sequence[bool], grads: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """The gradients of ``function``'s tensors that are needed, as functions of them and of the outputs' gradients."""
    # Views, since one tensor may be two arguments, each of which has its own gradient.
    given = [part.view_as(part) if need else part for part, need in zip(arguments, needs, strict=True)]
    with outside_autocast(given[0].device.type):
        found = function(*given)
    outputs = found if isinstance(found, tuple) else (found,)
    pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None and out.requires_grad]
    if not pairs:
        return (None,) * len(given)
    wanted = [part for part, need in zip(given, needs, strict=True) if need]
    ends, slopes = zip(*pairs, strict=True)
    parts = iter(torch.autograd.grad(ends, wanted, slopes, create_graph=True, allow_unused=True))
    return tuple(next(parts) if need else None for need in needs)


def is_transformed() -> bool:
    """Whether ``torch.func`` or forward-mode AD is at work: operators then give way to operations that these know."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def autocast_rule(name: str, cast: Callable[..., tuple[Any, ...]]) -> None:
    """Register what an operator does under autocast: it runs outside, on its arguments as ``cast`` changes them.

    ``cast`` is given the autocast dtype of the first argument's device, then the arguments.
    """

    def kernel(first: Tensor, *rest: Any) -> Any:
        device = first.device.type
        arguments = cast(torch.get_autocast_dtype(device), first, *rest)
        with torch.autocast(device, enabled=False):
            return getattr(torch.ops.tinkit, name)(*arguments)

    for device in DEVICES:
        _LIBRARY.impl(name, kernel, device.autocast)


def to_autocast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``tensor`` in the autocast dtype; float64 stays, as everywhere under autocast."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _native_kernel_appears(name: str, device: str) -> bool:
    """Whether asking for native kernels has just brought one.

    One that was there before does not count: a call that came past it would come here again without end.
    """
    row = next((row for row in DEVICES if row.name == device), None)
    operator = f"tinkit::{name}"
    if row is None or torch._C._dispatch_has_kernel_for_dispatch_key(operator, row.key):
        return False
    _load(row.module)
    return torch._C._dispatch_has_kernel_for_dispatch_key(operator, row.key)


@functools.cache
def _load(module: str) -> None:
    if importlib.util.find_spec(module) is not None:
        importlib.import_module(module).load()
