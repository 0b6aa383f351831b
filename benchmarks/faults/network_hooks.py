"""Changes at every module, by hooks, methods and wrappers, and of all modules and operations at once."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from .network_change import TEMPORAL, Change, at, change, scaled_method
from .network_parts import (
    LouderConvolutions,
    LouderFunctions,
    Scaled,
)

HOOKS: dict[str, Change] = {}


NAMES = {
    "the stem's convolution": "conv1",
    "the stem's norm": "bn1",
    "the stem's ReLU": "act1",
    "the stem's pool": "maxpool",
    "the head's pool": "global_pool",
    "a stage": "layer2",
    "a block": "layer2.1",
    "a block's first convolution": "layer2.1.conv1",
    "a block's first norm": "layer2.1.bn1",
    "a block's second convolution": "layer2.1.conv2",
    "a block's last norm": "layer3.0.bn2",
    "a block's last ReLU": "layer1.0.act2",
    "a block's shortcut": "layer3.0.downsample",
    "a shortcut's norm": "layer3.0.downsample.1",
    "the temporal module": TEMPORAL,
    "OffsetNet": f"{TEMPORAL}.offset_net",
    "OffsetNet's convolution": f"{TEMPORAL}.offset_net.conv",
    "OffsetNet's fc1": f"{TEMPORAL}.offset_net.fc1",
    "OffsetNet's fc2": f"{TEMPORAL}.offset_net.fc2",
    "GainNet": f"{TEMPORAL}.gain_net",
    "GainNet's convolution": f"{TEMPORAL}.gain_net.conv",
}


def _enter_hooks() -> None:
    """A hook of every kind, a ``forward`` on the object and a wrapper, for each of the modules above."""
    after = {
        "hook": lambda module, given, out: 1.5 * out,
        "hook that is always called": lambda module, given, out: 1.5 * out,
        "hook with keywords": lambda module, given, keywords, out: 1.5 * out,
    }
    settings: dict[str, dict[str, bool]] = {
        "hook that is always called": {"always_call": True},
        "hook with keywords": {"with_kwargs": True},
    }
    for where, name in NAMES.items():
        for kind, hook in after.items():
            if kind == "hook" or name in ("layer2.1", f"{TEMPORAL}.offset_net.fc1"):
                HOOKS[f"{kind} on {where}"] = functools.partial(_hooked, name, hook, settings.get(kind, {}))
        HOOKS[f"hook before {where}"] = lambda model, undo, name=name: at(model, name).module.register_forward_pre_hook(
            lambda module, given: (1.5 * given[0], *given[1:])
        )
        HOOKS[f"{where} has a forward of its own"] = functools.partial(_own_forward, name)
        HOOKS[f"{where} is wrapped"] = lambda model, undo, name=name: at(model, name).put(
            Scaled(at(model, name).module)
        )


def _hooked(name: str, hook: Any, settings: dict[str, bool], model: Any, undo: ExitStack) -> None:
    at(model, name).module.register_forward_hook(hook, **settings)


def _own_forward(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    module.forward = MethodType(scaled_method(type(module).forward), module)


_enter_hooks()


@change(HOOKS, "a hook on all modules")
def _everywhere(model: Any, undo: ExitStack) -> None:
    def more(module: nn.Module, given: Any, out: Any) -> Any:
        return 1.3 * out if isinstance(module, nn.Linear | nn.ReLU | nn.Conv1d) else None

    undo.callback(torch_module.register_module_forward_hook(more).remove)


@change(HOOKS, "a hook before all modules")
def _before_everywhere(model: Any, undo: ExitStack) -> None:
    def more(module: nn.Module, given: Any) -> Any:
        return (1.3 * given[0],) if isinstance(module, nn.Linear | nn.ReLU | nn.Conv1d) else None

    undo.callback(torch_module.register_module_forward_pre_hook(more).remove)


@change(HOOKS, "a mode for PyTorch's operations")
def _dispatch(model: Any, undo: ExitStack) -> None:
    undo.enter_context(LouderConvolutions())


@change(HOOKS, "a mode for PyTorch's functions")
def _functions(model: Any, undo: ExitStack) -> None:
    undo.enter_context(LouderFunctions())


@change(HOOKS, "a default device")
def _device(model: Any, undo: ExitStack) -> None:
    undo.enter_context(torch.device("cpu"))
