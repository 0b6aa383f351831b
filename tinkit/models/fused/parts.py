"""What timm's networks and blocks consist of, as their ``forward`` calls it: rows of names.

A row says what a class of timm calls, in order. It stands for the class only as long as nobody changed it, which
:class:`Parts` asks by the rules of :mod:`tinkit.models.stock`; anything else is one module, and is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import nn

from tinkit.models.stock import is_library, untouched

NETWORKS = {
    "timm.models.resnet.ResNet": ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    "timm.models.regnet.RegNet": ("stem", "s1", "s2", "s3", "s4", "final_conv"),
    "timm.models.efficientnet.EfficientNet": ("conv_stem", "bn1", "blocks", "conv_head", "bn2"),
    "timm.models.mobilenetv3.MobileNetV3": ("conv_stem", "bn1", "blocks"),
}
"""What ``forward_features`` calls; ``forward_head`` is called after it."""

_IN_ORDER = ("torch.nn.modules.container.Sequential", "timm.models.regnet.RegStage")
_SEQUENCES = {"timm.layers.conv_bn_act.ConvNormAct": ("conv", "bn", "aa")}
_NOTHING = ("torch.nn.modules.linear.Identity",)
_NOTHING_IN_TESTS = ("torch.nn.modules.dropout.Dropout", "timm.layers.drop.DropPath")


class BlockRow(NamedTuple):
    """A residual block: the names in its branch, of its shortcut and of what follows the addition.

    ``shortcut`` empty: the input itself. ``only_if``: the attribute without which there is no shortcut; None and False
    stand for there being none. ``in_place``: the shortcut is added to the branch's output itself.
    """

    branch: tuple[str, ...]
    shortcut: str
    end: str
    only_if: str = ""
    in_place: bool = False


_BLOCKS = {
    "timm.models.resnet.BasicBlock": BlockRow(
        ("conv1", "bn1", "drop_block", "act1", "aa", "conv2", "bn2", "se", "drop_path"),
        "downsample",
        "act2",
        in_place=True,
    ),
    "timm.models.resnet.Bottleneck": BlockRow(
        ("conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa", "conv3", "bn3", "se", "drop_path"),
        "downsample",
        "act3",
        in_place=True,
    ),
    "timm.models.regnet.Bottleneck": BlockRow(
        ("conv1", "conv2", "se", "conv3", "drop_path"), "downsample", "act3", "downsample"
    ),
    "timm.models._efficientnet_blocks.ConvBnAct": BlockRow(("conv", "bn1", "aa", "drop_path"), "", "", "has_skip"),
    "timm.models._efficientnet_blocks.DepthwiseSeparableConv": BlockRow(
        ("conv_s2d", "bn_s2d", "conv_dw", "bn1", "aa", "se", "conv_pw", "bn2", "drop_path"), "", "", "has_skip"
    ),
    "timm.models._efficientnet_blocks.InvertedResidual": BlockRow(
        ("conv_s2d", "bn_s2d", "conv_pw", "bn1", "conv_dw", "bn2", "aa", "se", "conv_pwl", "bn3", "drop_path"),
        "",
        "",
        "has_skip",
    ),
    "timm.models._efficientnet_blocks.EdgeResidual": BlockRow(
        ("conv_exp", "bn1", "aa", "se", "conv_pwl", "bn2", "drop_path"), "", "", "has_skip"
    ),
}


class Block(NamedTuple):
    """A residual block that may be taken apart: the modules of its branch, of its shortcut, and behind the addition."""

    module: nn.Module
    branch: tuple[nn.Module | None, ...]
    shortcut: nn.Module | None
    end: nn.Module | None
    in_place: bool


class Parts:
    """Takes modules apart in one forward pass."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], bool] = {}
        self._quiet: dict[int, bool] = {}

    def of_network(self, network: Any) -> list[nn.Module | None] | None:
        """What the network's ``forward_features`` calls; None where that is not known."""
        names = NETWORKS.get(_name(network))
        methods = ("forward_features", "forward_head")
        if names is None or not untouched(network) or not is_library(type(network), *methods):
            return None
        return None if getattr(network, "grad_checkpointing", False) else _named(network, names)

    def flat(self, modules: Iterable[nn.Module | None]) -> Iterator[nn.Module | Block]:
        """The modules in the order in which they are called, those that consist of others taken apart."""
        for module in modules:
            if module is None:
                continue
            if not self.stock(module):
                yield module
                continue
            name = _name(module)
            if name in _IN_ORDER and not getattr(module, "grad_checkpointing", False):
                yield from self.flat(module._modules.values())
            elif name in _SEQUENCES:
                yield from self.flat(_named(module, _SEQUENCES[name]))
            elif (row := _BLOCKS.get(name)) is not None:
                yield from self._of_block(module, row)
            elif not self.does_nothing(module):
                yield module

    def _of_block(self, module: Any, row: BlockRow) -> Iterator[nn.Module | Block]:
        branch, end = _named(module, row.branch), getattr(module, row.end) if row.end else None
        if row.only_if and not _is_there(getattr(module, row.only_if)):
            yield from self.flat([*(part for part in branch if part is not getattr(module, "drop_path", None)), end])
        else:
            shortcut = getattr(module, row.shortcut) if row.shortcut else None
            yield Block(module, tuple(branch), shortcut, end, row.in_place)

    def stock(self, module: nn.Module) -> bool:
        """Whether the module is untouched and its class as its library has it."""
        return untouched(module) and self.library(type(module))

    def library(self, kind: type, *names: str) -> bool:
        """Whether ``kind``, and its methods ``names``, are as a library has them."""
        key = (kind, *names)
        if key not in self._kinds:
            self._kinds[key] = is_library(kind, *names)
        return self._kinds[key]

    def does_nothing(self, module: nn.Module) -> bool:
        """Whether it gives what it is given."""
        name = _name(module)
        return (name in _NOTHING or (name in _NOTHING_IN_TESTS and not module.training)) and self.stock(module)

    def keeps_nothing(self, module: nn.Module) -> bool:
        """Whether all in it is a library's: nobody can have kept what it was given, or what it gave."""
        if id(module) not in self._quiet:
            children = (child for child in module.__dict__["_modules"].values() if child is not None)
            self._quiet[id(module)] = self.stock(module) and all(map(self.keeps_nothing, children))
        return self._quiet[id(module)]


def _name(module: Any) -> str:
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def _named(module: Any, names: tuple[str, ...]) -> list[nn.Module | None]:
    return [getattr(module, name, None) for name in names]


def _is_there(what: Any) -> bool:
    return what is not None and what is not False
