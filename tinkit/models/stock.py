"""When operators may stand for a network's modules: the one place that says it.

tinkit computes some of a network's modules without calling them, from their weights and settings: the two networks
that steer and the interlacing of a :class:`~tinkit.models.temporal.placed.TemporalConv2d`, with gradients and
without, and on a CPU without gradients convolutions with the norm, activation and addition behind them
(:mod:`tinkit.models.fused`). BatchNorm is merged into convolutions for tests (:mod:`tinkit.models.batch_norm`).
A change to any of them must still have its effect. So a module is *called*, as in any PyTorch network, unless all of
this holds:

1. **Nothing stands between a call and its effect** (:func:`nothing_between`): no hook on all modules, no
   ``TorchDispatchMode`` (FLOP counters, fake tensors), no ``TorchFunctionMode`` but that of a default device, no
   ``torch.func`` transform, no forward-mode AD, no ``torch.jit.trace``, and ``nn.Module.__call__`` is PyTorch's.
2. **The module is untouched** (:func:`untouched`): no hook of any kind (forward, backward, before or after, with
   keywords, always called: pruning, ``weight_norm`` and offloading are hooks), no method set on the object, not
   compiled in place.
3. **It is of the very class** that tinkit puts there, not of a subclass or another (quantised, LoRA, parametrised,
   sharded modules), and its settings are those it was made with.
4. **The class does what its file says** (:func:`still_written`, :func:`is_library`): its ``forward``, and every method
   that this calls, is still the function that the file defines.
5. **Weights are plain tensors**, not of a subclass.

Fused convolutions ask it of each module: those for which it holds are fused, and the others called at their place.
Features that a module of a user's was given are not written to, since it may have kept them.

What is remembered from one forward pass to the next are weights in the processor's order, by the bytes of those that
they were made of: they are read before every pass, so that a change is seen at once, however it was made. In a
compiled network (``torch.compile``) only clauses 2, 3 and 5 are asked, once, when it is compiled: it has no hooks
afterwards either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

_LIBRARIES = ("torch", "timm", "torchvision", "tinkit")


class Written(NamedTuple):
    """A method as the file of its class defines it; ``function`` is None where another stood there on import."""

    kind: type
    name: str
    function: Callable[..., Any] | None
    code: CodeType | None


def written(*methods: tuple[type, str]) -> tuple[Written, ...]:
    """The methods, given as (class, name), as they are now: call it once, when a module is imported."""
    found = []
    for kind, name in methods:
        function = getattr(kind, name) if _is_from_its_file(kind, name) else None
        found.append(Written(kind, name, function, function and function.__code__))
    return tuple(found)


def still_written(methods: Sequence[Written]) -> bool:
    """Whether each of ``methods`` is still the function that its file defines."""
    for kind, name, function, code in methods:
        if getattr(kind, name) is not function or function is None or function.__code__ is not code:
            return False
    return True


def is_library(kind: type, *names: str) -> bool:
    """Whether PyTorch, timm or tinkit defines ``kind``, its ``forward`` and the methods ``names`` as they are now."""
    return all(_is_from_its_file(kind, name) for name in ("forward", *names))


def _is_from_its_file(kind: type, name: str) -> bool:
    """By the code itself: a wrapper can carry any name and module."""
    function = getattr(kind, name)
    if type(function) is not FunctionType or kind.__module__.partition(".")[0] not in _LIBRARIES:
        return False
    code, home = function.__code__, function.__globals__
    if home["__name__"].partition(".")[0] not in _LIBRARIES or code.co_filename != home.get("__file__"):
        return False
    owner = kind if name in kind.__dict__ else next(base for base in kind.__mro__ if name in base.__dict__)
    return code.co_qualname == f"{owner.__qualname__}.{name}"


_CALL = written((nn.Module, "_wrapped_call_impl"), (nn.Module, "_call_impl"))


def nothing_between() -> bool:
    """Whether nothing observes or changes what all modules, or all of PyTorch's operations, do now."""
    if torch.compiler.is_compiling():
        return True
    if torch_module._has_any_global_hook() or torch._C._len_torch_dispatch_stack() or torch._C._is_tracing():
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return False
    if torch._C._len_torch_function_stack() and any(
        type(mode) is not DeviceContext for mode in _get_current_function_mode_stack()
    ):
        return False
    return nn.Module.__call__ is _CALL[0].function and still_written(_CALL)


def untouched(module: nn.Module) -> bool:
    """Whether no hook watches or changes what the module is given and gives, and its methods are its class's."""
    own = module.__dict__  # attributes of modules are slow, and this runs for every module before every forward pass
    hooked = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    return not hooked and keeps_methods(module)


def keeps_methods(module: nn.Module) -> bool:
    """Whether no method of the object stands before its class's.

    Of the methods that a call goes through, and of those that tinkit does not call where an operator stands for them.
    """
    own = module.__dict__
    return not (
        "forward" in own
        or "forward_features" in own
        or "_conv_forward" in own
        or "convolve" in own
        or "steer" in own
        or "_call_impl" in own
        or "_wrapped_call_impl" in own
        or "_compiled_call_impl" in own
    )


def are_plain(*tensors: Tensor | None) -> bool:
    """Whether all are there, and ordinary tensors or parameters."""
    return all(type(tensor) is nn.Parameter or type(tensor) is Tensor for tensor in tensors)
