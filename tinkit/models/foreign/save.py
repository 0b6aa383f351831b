"""A model's weights in the names of another code base: the way back from :mod:`tinkit.models.foreign.load`.

Every name is read back before anything is handed out, so what is written here loads here again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tinkit.errors import UserError, did_you_mean
from tinkit.models.classifier import Classifier
from tinkit.models.foreign.layouts import timm_names
from tinkit.models.foreign.names import MMACTION2, TORCHVISION_RESNET, TSN, Names, unwrapped, wrapped
from tinkit.models.foreign.names_3d import foreign_keys
from tinkit.models.foreign.names_mobilenet import MMACTION2_MOBILENET, TORCHVISION_MOBILENET, TSN_MOBILENET
from tinkit.models.temporal.non_local import NonLocal
from tinkit.models.temporal.pool import TemporalPool
from tinkit.temporal import find_temporal

# Names of image networks in each code base, by network; timm has any.
_NAMES: Mapping[str, Mapping[str, Names]] = {
    "tin": {"resnet": TSN},
    "x_temporal": {"resnet": TSN, "deep-stem resnet": TSN},  # its ResNet-50-c and -d are named as timm's
    "tsm": {"resnet": TSN, "mobilenetv2": TSN_MOBILENET},
    "trn": {"resnet": TSN},
    "mmaction2": {"resnet": MMACTION2, "mobilenetv2": MMACTION2_MOBILENET},
    "torchvision": {"resnet": TORCHVISION_RESNET, "mobilenetv2": TORCHVISION_MOBILENET},
}
# What else has weights beside backbone, classifier and temporal modules: how it is known, and who has a place for it.
_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "non-local blocks": (".non_local", ("tin", "x_temporal", "tsm", "mmaction2")),
    "relations between frames": ("consensus.", ("trn", "mmaction2")),
    "offsets that are the same for all clips": (".offset_net.offset_logit", ()),
}
_RESNET = re.compile(
    r"backbone\.(?:(?:conv1|bn1|layer\d\.\d+\.(?:conv\d|bn\d|downsample\.[01]))\.\w+|.*\.temporal\..*|.*\.non_local.*)"
)


# ResNet-c: three convolutions at first; ResNet-d: pooling before the convolution of a shortcut, too
_DEEP_STEM = re.compile(r"backbone\.(?:conv1\.[01346]|layer\d\.\d+\.downsample\.[12])\.\w+")


def to_foreign(model: Classifier, code_base: str) -> dict[str, Tensor]:
    """The model's state dict in the names of ``code_base``, without ``module.``; tensors share the model's memory.

    ``tinkit`` gives the names of this package. Only numbers that mean the same there are written: a bias in front of a
    norm, which mmaction2 does not have, goes into the norm's mean. Raises :class:`~tinkit.errors.UserError` for a code
    base that has no such network, or no place for some of its weights.
    """
    known = (*_NAMES, "tinkit", "timm", "pyslowfast")
    if code_base not in known:
        raise UserError(
            f"no code base is called {code_base!r}{did_you_mean(code_base, known)}", expected=", ".join(sorted(known))
        )
    own = {name: value.detach() for name, value in model.state_dict().items()}
    if code_base == "tinkit":
        return own
    if model.kind == "clip":
        return _of_3d(model, own, code_base)
    names = _names_for(model, own, code_base)
    if code_base == "mmaction2":
        own = _without_normed_bias(own)
    wrappers = _wrappers(model, code_base)
    theirs = {names.theirs(wrapped(name, wrappers)): name for name in own}
    wrong = [ours for name, ours in theirs.items() if unwrapped(names.ours(name)) != ours]
    if wrong or len(theirs) < len(own):
        raise _no_place(code_base, wrong[0] if wrong else "two entries of one name")
    if code_base == "timm" and getattr(getattr(model.backbone, "head", None), "use_conv", False):
        own["classifier.weight"] = own["classifier.weight"][:, :, None, None]
    return {name: own[ours] for name, ours in theirs.items()}


def _of_3d(model: Classifier, own: Mapping[str, Tensor], code_base: str) -> dict[str, Tensor]:
    if code_base != model.variant:
        raise UserError(
            f"{code_base} has no network that computes what this {model.family} does",
            expected=f"{model.variant}, whose variant it is, or tinkit",
        )
    return {theirs: own[ours] for theirs, ours in foreign_keys(model).items()}


def _names_for(model: Classifier, own: Mapping[str, Tensor], code_base: str) -> Names:
    row = find_temporal(model.temporal)
    homes = None if row is None else row.foreign.code_bases
    if row is not None and homes is not None and code_base not in homes:
        what = f"the {row.foreign.weights}s of {row.title}" if row.foreign.weights else row.title
        raise UserError(f"{code_base} has no place for {what}", expected=f"one of {', '.join((*homes, 'tinkit'))}")
    for what, (mark, homes) in _PARTS.items():
        if code_base not in homes and any(mark in name for name in own):
            raise UserError(
                f"{code_base} has no place for {what}",
                expected=f"one of {', '.join((*homes, 'tinkit'))}",
            )
    if code_base == "timm":
        names = timm_names(model)
        theirs: Any = getattr(model.backbone, "pretrained_cfg", {}).get("classifier") or ()
        if not names.heads or not isinstance(theirs, str):
            raise _no_place("timm", "one classifier of a network that has none, or two, there")
        return names
    networks = _NAMES.get(code_base, {})
    network = _network_of(model, own)
    if network not in networks:  # pyslowfast has none
        raise UserError(
            f"{code_base} has no such backbone",
            expected=f"there: {' or '.join(networks) or '3D networks'}, as torchvision has them; "
            "timm's names serve any backbone",
        )
    return networks[network]


def _network_of(model: Classifier, own: Mapping[str, Tensor]) -> str:
    """The network whose names all of the backbone's are, and which computes the same; empty for any other."""
    backbone = [name for name in own if name.startswith("backbone.")]
    if all(_RESNET.fullmatch(name) for name in backbone):
        return "resnet" if _is_torchvisions(model.backbone) else ""
    if all(_RESNET.fullmatch(name) or _DEEP_STEM.fullmatch(name) for name in backbone):
        return "deep-stem resnet" if _is_torchvisions(model.backbone) else ""
    plain = [TSN_MOBILENET.theirs(name) for name in backbone if ".temporal." not in name]
    return "mobilenetv2" if all(name.startswith("base_model.features.") for name in plain) else ""


def _is_torchvisions(resnet: nn.Module) -> bool:
    """Whether a ResNet has torchvision's norms, activations and poolings in a block and behind the stem, and no other.

    In a ResNet-d's shortcuts, what pools is not asked for: its name tells.
    """
    plain = (nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Identity, nn.Conv2d, nn.Linear)
    within = "bn|act|aa|se|drop|maxpool|downsample"
    parts = (
        module
        for name, module in resnet.named_modules()
        if re.match(within, name.rpartition(".")[2]) and not list(module.children())
    )
    pooled = getattr(resnet, "maxpool", None)
    return all(isinstance(part, plain) for part in parts) and isinstance(pooled, nn.MaxPool2d)


def _wrappers(model: Classifier, code_base: str) -> dict[str, str]:
    """What stands behind a module's name where a code base has put that module inside another."""
    if code_base in ("timm", "torchvision"):
        return {}
    found: dict[str, str] = {}
    row = find_temporal(model.temporal)
    wrapper = "" if row is None else row.foreign.wrapper
    as_one = code_base == "mmaction2"  # a convolution and its norm are one module there
    for name, module in model.named_modules():
        owner = name.rpartition(".")[0]
        if wrapper and name.endswith(".temporal"):
            found[owner] = wrapper
            if as_one and owner.endswith(".conv_pw"):
                found[f"{owner.rpartition('.')[0]}.bn1"] = "net"
        elif isinstance(module, TemporalPool):
            found[owner] = "net"
        elif isinstance(module, NonLocal):
            block = name.replace("non_local", "")
            if f"{block}.temporal" in dict(model.named_modules()):
                raise _no_place(code_base, f"{block}, whose input is shifted and which a non-local block follows")
            found[block] = "block"
            found |= _branches(name, module, as_one=as_one)
    return found


def _branches(name: str, module: NonLocal, *, as_one: bool) -> dict[str, str]:
    """Of a non-local block: the sequence of convolution and pooling, and mmaction2's module around a convolution."""
    inner = ["conv"] if as_one else []
    pooled = ["0", *inner] if module.subsample else inner
    parts = {"theta": inner, "phi": pooled, "g": pooled}
    return {f"{name}.{branch}": ".".join(part) for branch, part in parts.items() if part}


def _without_normed_bias(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``own`` without the biases of non-local blocks that a norm follows: it subtracts them from its mean instead."""
    out = dict(own)
    for name in own:
        if name.endswith(".out.bias") and ".non_local" in name:
            mean = name.replace(".out.bias", ".norm.running_mean")
            out[mean] = own[mean] - out.pop(name)
    return out


def _no_place(code_base: str, what: str) -> UserError:
    return UserError(f"{code_base} has no place for {what}", expected="tinkit's own names: --to tinkit")
