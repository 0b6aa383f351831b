"""Find the modules of one backbone that a temporal module precedes, and how each sees its features."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from tinkit.errors import UserError, did_you_mean
from tinkit.models.backbones.families import Family, check_known, family_of
from tinkit.models.backbones.feature_layout import NCHW, FeatureLayout

_IMAGES = 2  # in the pass that finds shapes; with one, a module that sees the images' windows could not be told


@dataclass(frozen=True)
class Place:
    """One module that a temporal module precedes: its name in the backbone, its owner, itself, and what it is given."""

    name: str
    owner: nn.Module
    module: nn.Module
    channels: int
    layout: FeatureLayout

    @property
    def attribute(self) -> str:
        """The module's name in its owner."""
        return self.name.rpartition(".")[2]


def places_in(backbone: nn.Module, name: str, place: str | None = None, *, alternate: bool = False) -> list[Place]:
    """Every module of ``backbone`` (timm's model ``name``) that a temporal module precedes, in order.

    ``place``: None for the family's own; a name inside a block (``conv2``) for another in the same blocks; or, for any
    model of timm, the modules' full names with ``*`` for any one part between dots (``blocks.*.attn``). ``alternate``
    asks for a shift's rule of the very deep: every second block of each stage (the 1st, 3rd, ...) where the family's
    stage is long enough. Raises :class:`~tinkit.errors.UserError` for a family that is not in the table, a place that
    is not there, and a module that does not see whole frames.
    """
    if place is not None and ("." in place or "*" in place):
        check_known(name)
        modules = _named_by_hand(backbone, place)
    else:
        modules = _named_by_family(backbone, family_of(name), place, alternate=alternate)
    for at, module in modules.items():
        if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            raise UserError(
                f"{at} is a {type(module).__name__}, which holds other modules: a temporal module cannot precede it",
                fix="choose one of those that it holds",
            )
    by_hand = place is not None
    shapes = {} if not by_hand and all(map(_is_plain, modules.values())) else _input_shapes(backbone, modules)
    return [_place(backbone, at, module, shapes.get(at)) for at, module in modules.items()]


def blocks_in(backbone: nn.Module, family: Family) -> Iterator[tuple[str, list[tuple[str, nn.Module]]]]:
    """Each stage's name with the names and modules of its blocks, in order."""
    for name, stage in backbone.named_modules():
        if any(_matches(name, pattern) for pattern in family.stages):
            yield name, [(f"{name}.{key}", block) for key, block in stage.named_children()]


def _named_by_hand(backbone: nn.Module, pattern: str) -> dict[str, nn.Module]:
    found = {name: module for name, module in backbone.named_modules() if _matches(name, pattern)}
    if not found:
        names = [name for name, _ in backbone.named_modules() if name.count(".") == pattern.count(".")]
        raise UserError(
            f"place {pattern!r} names no module of the backbone{did_you_mean(pattern, names)}",
            expected="full names, '*' for any one part between dots, as in 'blocks.*.attn'",
        )
    return found


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _named_by_family(
    backbone: nn.Module, family: Family, place: str | None, *, alternate: bool
) -> dict[str, nn.Module]:
    wanted = family.places if place is None else (place,)
    depths = {stage: len(blocks) for stage, blocks in blocks_in(backbone, family)}
    step = 2 if alternate and family.alternate and depths[family.alternate] >= family.alternate_from else 1
    found = {}
    for _, blocks in blocks_in(backbone, family):
        for at, block in blocks[::step]:
            if family.shortcut and not getattr(block, family.shortcut):
                continue
            inside = dict(block.named_modules())
            here = next((candidate for candidate in wanted if candidate in inside), None)
            if here is None:
                children = [name for name, _ in block.named_children()]
                raise UserError(
                    f"{at} ({type(block).__name__}) has no place that is called {' or '.join(map(repr, wanted))}"
                    f"{did_you_mean(wanted[0], children)}",
                    expected=", ".join(children),
                )
            found[f"{at}.{here}"] = inside[here]
    if not found:
        raise UserError(
            f"no block of this {family.name} has a shortcut: a temporal module would have no place",
            fix="choose another backbone, or name the modules: place = 'blocks.*.*.conv_pw'",
        )
    return found


def _is_plain(module: nn.Module) -> bool:
    """Whether the module itself says how many channels (B*T, C, H, W) its input has."""
    return isinstance(module, nn.Conv2d)


def _input_shapes(backbone: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    """The shapes that each module is given for two images, without computing anything. A module that is called more
    than once, or never, or with something else than one tensor first, is an error."""
    seen: dict[str, list[Any]] = {name: [] for name in modules}

    def noting(name: str) -> Any:
        return lambda _module, inputs: seen[name].append(inputs[0] if inputs else None)

    shadow = _shadow(backbone)
    for name in modules:
        shadow.get_submodule(name).register_forward_pre_hook(noting(name))
    size = _image_size(backbone)
    try:
        with torch.no_grad(), torch.device("meta"):
            shadow.eval()(torch.empty(_IMAGES, 3, *size))
    except Exception as error:  # only the backbone runs in here, and raises anything for images that it does not take
        raise UserError(
            f"the backbone does not take RGB images of {size[0]}x{size[1]} pixels: {str(error)[:200]}",
            fix="say the size in backbone_kwargs, as in {img_size = 224}, and no other number of channels",
        ) from error
    for name, inputs in seen.items():
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
            raise UserError(
                f"{name} is called {len(inputs)} times a forward pass" if len(inputs) != 1 else
                f"{name} is not given features as its first argument",
                expected="a module that is called once, with one tensor",
            )  # fmt: skip
    return {name: tuple(inputs[0].shape) for name, inputs in seen.items()}


def _shadow(backbone: nn.Module) -> nn.Module:
    """A copy of the backbone on the meta device: shapes without values."""
    tensors: list[Tensor] = [*backbone.parameters(), *backbone.buffers()]
    without = {
        id(one): nn.Parameter(one.detach().to("meta"), requires_grad=False)
        if isinstance(one, nn.Parameter)
        else one.to("meta")
        for one in tensors
    }
    return copy.deepcopy(backbone, without)


def _image_size(backbone: Any) -> tuple[int, int]:
    """Height and width of the images that the backbone was made for: some take no other."""
    fixed = getattr(getattr(backbone, "patch_embed", None), "img_size", None)
    height, width = fixed or backbone.pretrained_cfg["input_size"][1:]
    return int(height), int(width)


def _place(backbone: nn.Module, name: str, module: nn.Module, shape: tuple[int, ...] | None) -> Place:
    owner = backbone.get_submodule(name.rpartition(".")[0])
    if shape is not None and (len(shape) not in (3, 4) or shape[0] != _IMAGES):
        raise UserError(
            f"{name} is given {shape} for {_IMAGES} images: a temporal module needs whole frames, one a row",
            expected="features (B*T, C, H, W) or (B*T, H, W, C), or tokens (B*T, L, C)",
            fix="choose a module before frames are cut into windows, or after they are put together again",
        )
    if isinstance(module, nn.Conv2d):
        return Place(name, owner, module, module.in_channels, NCHW)
    assert shape is not None
    layout = _layout(backbone, name, module, shape)
    return Place(name, owner, module, shape[1] if layout.format == "NCHW" else shape[-1], layout)


def _layout(backbone: nn.Module, name: str, module: nn.Module, shape: tuple[int, ...]) -> FeatureLayout:
    """Where the channels are: as many as the module's own weights say, and where that leaves two places or none, of
    square images the one odd side of three; else timm's model says."""
    if len(shape) == 3:
        return FeatureLayout("NLC", _prefix(backbone, name, shape[1], shape[2]))
    first, second, third = shape[1:]
    width = _width(module)
    if width is not None and (first == width) != (third == width):
        return FeatureLayout("NHWC" if third == width else "NCHW")
    if (first == second) != (second == third):
        return FeatureLayout("NHWC" if first == second else "NCHW")
    return FeatureLayout("NHWC" if str(getattr(backbone, "output_fmt", "NCHW")) == "NHWC" else "NCHW")


def _width(module: nn.Module) -> int | None:
    """The channels that the first layer inside ``module`` reads; None where nothing in it says."""
    for layer in module.modules():
        match layer:
            case nn.Linear():
                return layer.in_features
            case nn.LayerNorm():
                return layer.normalized_shape[-1]
            case nn.Conv2d():
                return layer.in_channels
    return None


def _prefix(backbone: nn.Module, name: str, tokens: int, channels: int) -> int:
    """How many of the ``tokens`` belong to no pixel. Raises :class:`~tinkit.errors.UserError` where that is not known,
    and where patches lie along the last side, which is that of the channels."""
    cutting = getattr(backbone, "patch_embed", getattr(backbone, "stem", None))  # MLP-Mixers call it stem
    patches = getattr(cutting, "num_patches", None)
    if tokens == patches:  # some models join their class token late, and have the patches alone until then
        return 0
    prefix = getattr(backbone, "num_prefix_tokens", None)
    if patches is not None and channels == patches and tokens != patches + int(prefix or 0):
        raise UserError(
            f"{name} is given (B*T, {tokens}, {channels}), with the {patches} patches last",
            expected="tokens (B*T, L, C), with the channels last",
            fix="choose a module that mixes channels, or the one before",
        )
    if prefix is None and math.isqrt(tokens) ** 2 != tokens:
        extra = next((n for n in (1, 2) if math.isqrt(tokens - n) ** 2 == tokens - n), None)
        if extra is not None:
            raise UserError(
                f"{name} is given {tokens} tokens, of which {extra} seem to be of the class; timm does not say",
                fix="choose a module that is given features (B*T, C, H, W), or another backbone",
            )
    return int(prefix or 0)
