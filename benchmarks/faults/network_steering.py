"""Changes of what steers, and of weights that are computed at every call."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from .network_change import TEMPORAL, Change, at, change
from .network_parts import (
    Loud,
    LowRank,
    ScaleOp,
)

STEERING: dict[str, Change] = {}


@change(STEERING, "another offset from a hook on the tap")
def _tap(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.steering").module.register_forward_hook(lambda module, given, out: (-out[0], 0.5 * out[1]))


@change(STEERING, "float64 offsets from a hook on every tap")
def _taps(model: Any, undo: ExitStack) -> None:
    for name, module in model.named_modules():
        if name.endswith(".steering"):
            module.register_forward_hook(lambda module, given, out: (0.7 * out[0].double().T.contiguous().T, out[1]))


@change(STEERING, "other offsets into the tap, from a hook before it")
def _before_tap(model: Any, undo: ExitStack) -> None:
    tap = at(model, f"{TEMPORAL}.steering").module
    tap.register_forward_pre_hook(lambda module, given: (-given[0], given[1]))


@change(STEERING, "the tap is another module")
def _other_tap(model: Any, undo: ExitStack) -> None:
    class Still(nn.Module):
        def forward(self, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
            return torch.zeros_like(offset), gain

    at(model, f"{TEMPORAL}.steering").put(Still())


@change(STEERING, "the tap is copied")
def _copied_tap(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.steering").put(type(at(model, f"{TEMPORAL}.steering").module)())


def _enter_reparametrised() -> None:
    """Weights that are computed anew at every call, of convolutions and of what steers."""
    places = {
        "a block's first convolution": "layer2.1.conv1",
        "a block's second convolution": "layer2.1.conv2",
        "OffsetNet's fc1": f"{TEMPORAL}.offset_net.fc1",
        "OffsetNet's convolution": f"{TEMPORAL}.offset_net.conv",
        "GainNet's convolution": f"{TEMPORAL}.gain_net.conv",
    }
    for where, name in places.items():
        STEERING[f"parametrised: {where}"] = lambda model, undo, name=name: parametrize.register_parametrization(
            at(model, name).module, "weight", ScaleOp()
        )
        STEERING[f"pruned, then moved: {where}"] = functools.partial(_pruned, name)
        STEERING[f"weight norm, then moved: {where}"] = functools.partial(_normed, name)
        STEERING[f"weight norm of old, then moved: {where}"] = functools.partial(_normed_of_old, name)
        STEERING[f"LoRA: {where}"] = lambda model, undo, name=name: at(model, name).put(LowRank(at(model, name).module))
        STEERING[f"a subclass of tensors: {where}"] = functools.partial(_loud, name)


def _pruned(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    prune.l1_unstructured(module, "weight", 0.5)
    with torch.no_grad():
        module.weight_orig.mul_(1.7)  # as a step of training does: the hook before a call makes the weight of it


def _normed(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    nn.utils.parametrizations.weight_norm(module)
    with torch.no_grad():
        module.parametrizations.weight.original0.mul_(1.7)


def _normed_of_old(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    nn.utils.weight_norm(module)
    with torch.no_grad():
        module.weight_g.mul_(1.7)


def _loud(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    weight = module.weight.detach().as_subclass(Loud)
    del module._parameters["weight"]
    module.weight = weight


_enter_reparametrised()


@change(STEERING, "linear layers quantised")
def _quantised(model: Any, undo: ExitStack) -> None:
    torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, inplace=True)


@change(STEERING, "OffsetNet's fc1 without a bias")
def _no_bias(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.offset_net.fc1").module.bias = None


@change(STEERING, "OffsetNet's convolution of five taps")
def _five(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.offset_net.conv")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        conv.put(nn.Conv1d(conv.module.in_channels, 1, 5, padding=2))


@change(STEERING, "GainNet's convolution dilated")
def _dilated(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.gain_net.conv").module
    conv.dilation, conv.padding = (2,), (2,)


@change(STEERING, "OffsetNet's convolution padded in a circle")
def _circle(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.offset_net.conv")
    round_ = nn.Conv1d(conv.module.in_channels, 1, 3, padding=1, padding_mode="circular")
    round_.load_state_dict(conv.module.state_dict())
    conv.put(round_)


@change(STEERING, "a subclass of Linear in OffsetNet")
def _other_linear(model: Any, undo: ExitStack) -> None:
    class Half(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x)

    at(model, f"{TEMPORAL}.offset_net.fc1").module.__class__ = Half


@change(STEERING, "offsets that are all alike")
def _constant(model: Any, undo: ExitStack) -> None:
    class Back(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips.new_full((clips.shape[0], 4), 1.0)

    at(model, f"{TEMPORAL}.offset_net").put(Back())


@change(STEERING, "float64 steering")
def _double(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.offset_net.fc1").module.register_forward_hook(lambda module, given, out: 1.4 * out.double())
    at(model, f"{TEMPORAL}.offset_net.fc2").module.register_forward_pre_hook(lambda module, given: (given[0].float(),))
