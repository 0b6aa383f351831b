"""The layouts of checkpoints: how each is recognised from its keys, and the names that are read and written by it.

=========== =================================================== =============================================
name        written by                                          known by
=========== =================================================== =============================================
tinkit      this package                                        ``backbone.layer1.0.conv1.weight``
tin         the TIN repository, X-Temporal                      ``base_model.layer1.0.conv1.net2.weight``
tsm         the TSM repository, X-Temporal                      ``base_model.layer1.0.conv1.net.weight``
trn         the TRN repository                                  ``consensus.fc_fusion_scales.0.1.weight``
tsn         these repositories, without a temporal module       ``base_model.layer1.0.conv1.weight``
mmaction2   mmaction2                                           ``backbone.layer1.0.conv1.conv.weight``
resnet      timm, torchvision, for ResNets                      ``layer1.0.conv1.weight``
torchvision torchvision, for MobileNetV2 and 3D networks        ``features.1.conv.0.0.weight``, ``stem.0.weight``
timm        timm, for all other backbones                       the names of the backbone itself
x_temporal  X-Temporal, for 3D networks                         ``slow_res2.0.conv1.weight``
pyslowfast  PySlowFast                                          ``s2.pathway0_res0.branch2.a.weight``
=========== =================================================== =============================================

For backbones but ResNets, ``tinkit`` is known by the names of the backbone, too. A leading ``module.``, ``_orig_mod.``
or ``model.`` does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from tinkit.errors import UserError
from tinkit.models.classifier import Classifier
from tinkit.models.foreign.elsewhere import network_elsewhere
from tinkit.models.foreign.names import MMACTION2, TORCHVISION_RESNET, TSN, Names, unwrapped
from tinkit.models.foreign.names_3d import SIGNATURES_3D, foreign_keys
from tinkit.models.foreign.names_mobilenet import MMACTION2_MOBILENET, TORCHVISION_MOBILENET, TSN_MOBILENET

ImageNetwork = Literal["resnet", "mobilenetv2"]
_CONV = r"(?:\w+\.)*conv\d"  # of a ResNet, in whatever its blocks are wrapped
_SHIFTED_BLOCK = r"layer\d\.(?:net\.)?\d+\.net"


@dataclass(frozen=True)
class CheckpointLayout:
    """One layout of image networks: what a name (without ``module.``) looks like in it, and its table of names."""

    name: str
    network: ImageNetwork
    signature: str
    names: Names


# In this order: a file that moves features also has blocks in which nothing does.
LAYOUTS = (
    CheckpointLayout("tinkit", "resnet", r"backbone\.layer\d+\.\d+\.conv\d+\.weight", Names((), "")),
    CheckpointLayout("trn", "resnet", r"consensus\.(?:classifier|fc_fusion_scales\.\d+)\.1\.weight", TSN),
    CheckpointLayout("tin", "resnet", rf"base_model\.{_CONV}\.net2\.weight", TSN),
    CheckpointLayout("tsm", "resnet", rf"base_model\.(?:{_CONV}\.net|{_SHIFTED_BLOCK}\.conv1)\.weight", TSN),
    CheckpointLayout("tsm", "mobilenetv2", r"base_model\.features\.\d+\.conv\.0\.net\.weight", TSN_MOBILENET),
    CheckpointLayout("tsn", "resnet", rf"base_model\.{_CONV}\.weight", TSN),
    CheckpointLayout("tsn", "mobilenetv2", r"base_model\.features\.\d+\.conv\.\d\.weight", TSN_MOBILENET),
    CheckpointLayout(
        "mmaction2", "mobilenetv2", r"backbone\.layer\d\.\d\.conv\.\d\.(?:net\.)?conv\.weight", MMACTION2_MOBILENET
    ),
    CheckpointLayout(
        "mmaction2", "resnet", rf"backbone\.(?!slow_path|fast_path){_CONV}\.conv\.(?:net2?\.)?weight", MMACTION2
    ),
    CheckpointLayout("torchvision", "mobilenetv2", r"features\.\d+\.conv\.\d+\.\d\.weight", TORCHVISION_MOBILENET),
    CheckpointLayout("resnet", "resnet", r"layer\d+\.\d+\.conv\d+\.weight", TORCHVISION_RESNET),
)
_EXAMPLES = {
    "tinkit": "backbone.layer1.0.conv1.weight",
    "tin": "base_model.layer1.0.conv1.net2.weight",
    "tsm": "base_model.layer1.0.conv1.net.weight",
    "trn": "consensus.fc_fusion_scales.0.1.weight",
    "tsn": "base_model.layer1.0.conv1.weight",
    "mmaction2": "backbone.layer1.0.conv1.conv.weight",
    "resnet": "layer1.0.conv1.weight",
}
_KNOWN_3D = "; ".join(f"{who}'s {what}" for who, what in SIGNATURES_3D)


@dataclass(frozen=True)
class Recognised:
    """A file's layout by name, and what gives our name of an entry by its name without ``module.``."""

    name: str
    ours: Callable[[str], str]


def stripped(key: str) -> str:
    """Without the prefixes that data-parallel and compiled models, and wrapping trainers, put before every name."""
    return re.sub(r"^((module|_orig_mod|model)\.)+", "", key)


def recognise(state: Mapping[str, Any], model: Classifier) -> Recognised:
    """The layout of ``state`` (names are stripped), as far as ``model`` can have something of it.

    Raises :class:`~tinkit.errors.UserError` for a layout that is not known, and for the network of another kind.
    """
    dimensions = {name: value.ndim for name, value in state.items() if isinstance(value, Tensor) and value.ndim > 1}
    backbone = ((name, value.ndim) for name, value in model.state_dict().items() if name.startswith("backbone."))
    own = {name: ndim for name, ndim in backbone if ndim > 1}
    if not own.items().isdisjoint(dimensions.items()):
        # mmaction2 takes timm's and torchvision's backbones as they are, and puts its own classifier behind them
        theirs = any(name.startswith("cls_head.") for name in dimensions)
        return Recognised("mmaction2", _with_heads) if theirs and model.kind == "image" else Recognised("tinkit", str)
    if (kind := _network_3d(dimensions)) is not None:
        return _of_3d(kind, model)
    shapes = {name: tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
    if (elsewhere := network_elsewhere(shapes)) is not None:
        raise UserError(
            f"the checkpoint is of {elsewhere} that is not known here",
            expected=f"one of {_KNOWN_3D}; or an image network of a known layout",
        )
    layout = _layout_2d(dimensions)
    if model.kind == "clip":
        if layout is not None:
            raise UserError(f"the checkpoint is of another backbone: an image network, in the layout {layout.name}")
        raise _unknown(state, f"one of {_KNOWN_3D}")
    if layout is not None:
        if layout.name == "tinkit":
            return Recognised("tinkit", str)
        return Recognised(layout.name, lambda name: unwrapped(layout.names.ours(name)))
    bare = {name.removeprefix("backbone."): ndim for name, ndim in own.items()}
    if not bare.items().isdisjoint(dimensions.items()):
        return Recognised("timm", timm_names(model).ours)
    known = "; ".join(f"{name} ({example})" for name, example in _EXAMPLES.items())
    raise _unknown(state, f"one of the layouts {known}; or timm's names of the backbone ({next(iter(bare))})")


def _with_heads(name: str) -> str:
    return MMACTION2.ours(name) if name.startswith("cls_head.") else name


def timm_names(model: Classifier) -> Names:
    """The names that timm has for the model's backbone, with its classifier.

    A model with two classifiers (of the class and of the distillation token) is taken to end in the first.
    """
    theirs: Any = getattr(model.backbone, "pretrained_cfg", {}).get("classifier") or ()
    heads = (theirs,) if isinstance(theirs, str) else tuple(theirs[:1])
    return Names(tuple(("classifier.", f"{head}.") for head in heads), "")


def _layout_2d(names: Iterable[str]) -> CheckpointLayout | None:
    found = list(names)
    return next((one for one in LAYOUTS if any(re.fullmatch(one.signature, name) for name in found)), None)


def _network_3d(dimensions: Mapping[str, int]) -> tuple[str, str] | None:
    """The code base and the family of a file of a 3D network that is known here, None for any other file."""
    one_path = not any(".pathway1_" in name for name in dimensions)
    for kind, signature in SIGNATURES_3D.items():
        if any(ndim == 5 and re.fullmatch(signature, name) for name, ndim in dimensions.items()):
            return None if kind[0] == "pyslowfast" and one_path else kind
    return None


def _of_3d(kind: tuple[str, str], model: Classifier) -> Recognised:
    code_base, family = kind
    if model.kind == "image":
        raise UserError(
            f"the checkpoint is of another backbone: {code_base}'s {family}, a network of clips",
            fix=f"make it by temporal = '3d' and backbone = '{family}_50', or whatever its depth is",
        )
    one_name = code_base == "torchvision" and family == "r3d"  # its three families have names in common
    if model.variant != code_base or not (one_name or model.family == family):
        raise UserError(
            f"the checkpoint is of another backbone: {code_base}'s {family}, and the model is "
            f"{model.variant}'s {model.family}",
            fix=f"name the backbone that it was made with, and variant = '{code_base}'",
        )
    keys = foreign_keys(model)
    # the challenge owner's files (moments_models) and others of the 3D-ResNets repository call the classifier so
    head = {name: ours for name, ours in keys.items() if name.startswith("fc.")}
    keys |= {name.replace("fc.", "last_linear.", 1): ours for name, ours in head.items()}
    return Recognised(code_base, lambda name: keys.get(name, f"backbone.{name.removeprefix('backbone.')}"))


def _unknown(names: Iterable[str], expected: str) -> UserError:
    first = ", ".join(list(names)[:5]) or "(none)"
    return UserError(f"a checkpoint of unknown layout; its first keys: {first}", expected=expected)
