"""What people do to networks that tinkit computes in another way than by calling every module.

A change is made to a model by the names of its modules, so that the same can be done to a plain model. ``undo`` takes
what ends with the forward passes: patches of classes, modes, hooks on all modules.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tinkit.timm_import import import_timm

Change = Callable[[Any, ExitStack], object]
CHANGES: dict[str, Change] = {}
WITHOUT_SLOPES = ("a branch of nothing but its ends", "linear layers quantised")  # in plain PyTorch
STILL = ("an attribute that a block does not use", "a default device", "the tap is copied")


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


class Case(NamedTuple):
    """A module by name: ``owner`` is what holds it."""

    owner: Any
    attribute: str

    @property
    def module(self) -> Any:
        return getattr(self.owner, self.attribute)

    def put(self, module: nn.Module) -> None:
        setattr(self.owner, self.attribute, module)


def at(model: Any, name: str) -> Case:
    """``name`` in the backbone."""
    owner, _, attribute = name.rpartition(".")
    return Case(model.backbone.get_submodule(owner), attribute)


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` for the block."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def scaled_method(function: Callable[..., Any], by: float = 1.5, wraps: bool = False) -> Callable[..., Any]:
    """A function for a class that gives ``by`` times what ``function`` does."""

    def method(self: Any, *given: Any) -> Any:
        return by * function(self, *given)

    return functools.wraps(function)(method) if wraps else method


def change(name: str) -> Callable[[Change], Change]:
    """Enter a change into the table."""

    def enter(function: Change) -> Change:
        CHANGES[name] = function
        return function

    return enter


TEMPORAL = "layer2.1.conv1.temporal"
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
                CHANGES[f"{kind} on {where}"] = functools.partial(_hooked, name, hook, settings.get(kind, {}))
        CHANGES[f"hook before {where}"] = lambda model, undo, name=name: at(
            model, name
        ).module.register_forward_pre_hook(lambda module, given: (1.5 * given[0], *given[1:]))
        CHANGES[f"{where} has a forward of its own"] = functools.partial(_own_forward, name)
        CHANGES[f"{where} is wrapped"] = lambda model, undo, name=name: at(model, name).put(
            Scaled(at(model, name).module)
        )


def _hooked(name: str, hook: Any, settings: dict[str, bool], model: Any, undo: ExitStack) -> None:
    at(model, name).module.register_forward_hook(hook, **settings)


def _own_forward(name: str, model: Any, undo: ExitStack) -> None:
    module = at(model, name).module
    module.forward = MethodType(scaled_method(type(module).forward), module)


_enter_hooks()


@change("another offset from a hook on the tap")
def _tap(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.steering").module.register_forward_hook(lambda module, given, out: (-out[0], 0.5 * out[1]))


@change("float64 offsets from a hook on every tap")
def _taps(model: Any, undo: ExitStack) -> None:
    for name, module in model.named_modules():
        if name.endswith(".steering"):
            module.register_forward_hook(lambda module, given, out: (0.7 * out[0].double().T.contiguous().T, out[1]))


@change("other offsets into the tap, from a hook before it")
def _before_tap(model: Any, undo: ExitStack) -> None:
    tap = at(model, f"{TEMPORAL}.steering").module
    tap.register_forward_pre_hook(lambda module, given: (-given[0], given[1]))


@change("the tap is another module")
def _other_tap(model: Any, undo: ExitStack) -> None:
    class Still(nn.Module):
        def forward(self, offset: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
            return torch.zeros_like(offset), gain

    at(model, f"{TEMPORAL}.steering").put(Still())


@change("the tap is copied")
def _copied_tap(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.steering").put(type(at(model, f"{TEMPORAL}.steering").module)())


@change("a stage of a subclass")
def _stage(model: Any, undo: ExitStack) -> None:
    stage = at(model, "layer2")
    stage.put(HalfStage(*stage.module))


@change("a stage left out")
def _no_stage(model: Any, undo: ExitStack) -> None:
    at(model, "layer1").put(nn.Identity())


@change("a module behind a stage's blocks")
def _appended(model: Any, undo: ExitStack) -> None:
    at(model, "layer2").module.append(nn.AvgPool2d(3, 1, 1))


@change("a stage that is another sequence of one")
def _nested(model: Any, undo: ExitStack) -> None:
    stage = at(model, "layer2")
    stage.put(nn.Sequential(stage.module, Scaled(nn.Identity())))


@change("one block in two places of a stage")
def _twice(model: Any, undo: ExitStack) -> None:
    at(model, "layer2").module.append(at(model, "layer2.1").module)


@change("one block in place of another")
def _instead(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0").put(at(model, "layer1.1").module)


@change("one convolution in two blocks")
def _shared(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.conv2").put(at(model, "layer1.1.conv2").module)


@change("one norm in two blocks")
def _shared_norm(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.bn2").put(at(model, "layer1.1.bn2").module)


@change("an attribute that a block does not use")
def _unused(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer1.1").module
    block.conv3, block.bn3, block.act3 = nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64).eval(), nn.ReLU()


@change("a shortcut that is a view")
def _view(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = Turned()


@change("a shortcut that keeps its input")
def _keeps(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = nn.Sequential(Held(), Scaled(nn.Identity()))


@change("a shortcut that gives numbers to be added everywhere")
def _pixel(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = nn.AdaptiveAvgPool2d(1)


@change("a leaky ReLU at the end")
def _leaky(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.act2").put(nn.LeakyReLU(0.3))


@change("a subclass of ReLU at the end")
def _sloped(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.act2").put(Sloped())


@change("group norm")
def _group(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.bn2").put(nn.GroupNorm(8, 64))


@change("synchronised norms of other statistics")
def _sync(model: Any, undo: ExitStack) -> None:
    model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
    for norm in model.modules():
        if isinstance(norm, nn.SyncBatchNorm):
            norm.running_var.mul_(1.7)


@change("modules where blocks may have some")
def _optional(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module
    block.se, block.drop_path, block.aa = Scaled(nn.Identity(), 0.5), Scaled(nn.Identity(), 3), nn.AvgPool2d(3, 1, 1)
    block.drop_block = nn.Hardtanh(-1, 1)


@change("a branch of nothing but its ends")
def _hollow(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module
    block.conv1, block.bn1, block.conv2, block.bn2 = (nn.Identity() for _ in range(4))


@change("features kept by a norm of one's own")
def _subclassed_norm(model: Any, undo: ExitStack) -> None:
    class Frozen(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return 0.8 * super().forward(x)

    at(model, "layer2.0.bn1").module.__class__ = Frozen


@change("a subclass of the block")
def _subclassed_block(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module

    class Half(type(block)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x)

    block.__class__ = Half


@change("a subclass of the network")
def _subclassed_backbone(model: Any, undo: ExitStack) -> None:
    class Doubled(type(model.backbone)):  # type: ignore[misc]
        def forward_features(self, x: Tensor) -> Tensor:
            return 2 * super().forward_features(x)

    model.backbone.__class__ = Doubled


def _enter_methods() -> None:
    """Methods replaced on the backbone, and on classes of timm and PyTorch: by a function, and by one in disguise."""
    resnet = import_timm().models.resnet
    for name in ("forward", "forward_features", "forward_head"):
        CHANGES[f"{name} of the backbone"] = functools.partial(_own_method, name)
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
            CHANGES[f"{title} of all{' in disguise' if wraps else ''}"] = functools.partial(
                _on_class, owner, name, value
            )
    swapped = resnet.Bottleneck.forward
    CHANGES["BasicBlock.forward is another block's"] = lambda model, undo: undo.enter_context(
        patched(resnet.BasicBlock, "forward", _with_parts(swapped))
    )
    CHANGES["BasicBlock.forward has other code"] = lambda model, undo: undo.enter_context(
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
        CHANGES[f"parametrised: {where}"] = lambda model, undo, name=name: parametrize.register_parametrization(
            at(model, name).module, "weight", ScaleOp()
        )
        CHANGES[f"pruned, then moved: {where}"] = functools.partial(_pruned, name)
        CHANGES[f"weight norm, then moved: {where}"] = functools.partial(_normed, name)
        CHANGES[f"weight norm of old, then moved: {where}"] = functools.partial(_normed_of_old, name)
        CHANGES[f"LoRA: {where}"] = lambda model, undo, name=name: at(model, name).put(LowRank(at(model, name).module))
        CHANGES[f"a subclass of tensors: {where}"] = functools.partial(_loud, name)


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


@change("linear layers quantised")
def _quantised(model: Any, undo: ExitStack) -> None:
    torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, inplace=True)


@change("OffsetNet's fc1 without a bias")
def _no_bias(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.offset_net.fc1").module.bias = None


@change("OffsetNet's convolution of five taps")
def _five(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.offset_net.conv")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        conv.put(nn.Conv1d(conv.module.in_channels, 1, 5, padding=2))


@change("GainNet's convolution dilated")
def _dilated(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.gain_net.conv").module
    conv.dilation, conv.padding = (2,), (2,)


@change("OffsetNet's convolution padded in a circle")
def _circle(model: Any, undo: ExitStack) -> None:
    conv = at(model, f"{TEMPORAL}.offset_net.conv")
    round_ = nn.Conv1d(conv.module.in_channels, 1, 3, padding=1, padding_mode="circular")
    round_.load_state_dict(conv.module.state_dict())
    conv.put(round_)


@change("a subclass of Linear in OffsetNet")
def _other_linear(model: Any, undo: ExitStack) -> None:
    class Half(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x)

    at(model, f"{TEMPORAL}.offset_net.fc1").module.__class__ = Half


@change("offsets that are all alike")
def _constant(model: Any, undo: ExitStack) -> None:
    class Back(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return clips.new_full((clips.shape[0], 4), 1.0)

    at(model, f"{TEMPORAL}.offset_net").put(Back())


@change("float64 steering")
def _double(model: Any, undo: ExitStack) -> None:
    at(model, f"{TEMPORAL}.offset_net.fc1").module.register_forward_hook(lambda module, given, out: 1.4 * out.double())
    at(model, f"{TEMPORAL}.offset_net.fc2").module.register_forward_pre_hook(lambda module, given: (given[0].float(),))


@change("a hook on all modules")
def _everywhere(model: Any, undo: ExitStack) -> None:
    def more(module: nn.Module, given: Any, out: Any) -> Any:
        return 1.3 * out if isinstance(module, nn.Linear | nn.ReLU | nn.Conv1d) else None

    undo.callback(torch_module.register_module_forward_hook(more).remove)


@change("a hook before all modules")
def _before_everywhere(model: Any, undo: ExitStack) -> None:
    def more(module: nn.Module, given: Any) -> Any:
        return (1.3 * given[0],) if isinstance(module, nn.Linear | nn.ReLU | nn.Conv1d) else None

    undo.callback(torch_module.register_module_forward_pre_hook(more).remove)


@change("a mode for PyTorch's operations")
def _dispatch(model: Any, undo: ExitStack) -> None:
    undo.enter_context(LouderConvolutions())


@change("a mode for PyTorch's functions")
def _functions(model: Any, undo: ExitStack) -> None:
    undo.enter_context(LouderFunctions())


@change("a default device")
def _device(model: Any, undo: ExitStack) -> None:
    undo.enter_context(torch.device("cpu"))
