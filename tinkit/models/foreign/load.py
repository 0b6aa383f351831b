"""Load the weights of another code base, or of another kind of network, and account for every entry.

:mod:`tinkit.models.foreign.layouts` lists the layouts that are known and how they are told apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tinkit.errors import UserError
from tinkit.models.classifier import Classifier
from tinkit.models.foreign.layouts import recognise, stripped
from tinkit.models.modality import first_convolution, turn_rgb_weight
from tinkit.models.non_finite import check_finite
from tinkit.temporal import TEMPORAL_MODULES

# mmaction2 norms right behind this convolution, which has no bias there.
_NO_BIAS = re.compile(r"backbone\.layer\d\.non_local\d+\.out\.bias")


@dataclass(frozen=True)
class ForeignReport:
    """What became of every entry: ``used`` {key in the file: key in the model}, ``new`` keys of the model that the file
    did not fill, ``dropped`` {key in the file: why}, and the ``layout`` of the file. ``notes`` tell of entries that are
    there in another form.
    """

    used: dict[str, str]
    new: tuple[str, ...]
    dropped: dict[str, str]
    layout: str
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """A few lines for a person: counts, what starts anew, and each reason with the number of entries it dropped."""
        fresh = [key for key in self.new if not key.endswith("num_batches_tracked")]
        lines = [f"layout {self.layout}: {len(self.used)} entries used, {len(fresh)} new, {len(self.dropped)} dropped"]
        if fresh:
            lines.append(f"  new: {', '.join(fresh[:4])}{', ...' if len(fresh) > 4 else ''}")
        for reason, count in Counter(map(_without_names, self.dropped.values())).most_common():
            lines.append(f"  dropped {count}: {reason}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """The whole account, as a run's folder and a converted file keep it."""
        account = {"layout": self.layout, "used": self.used, "new": list(self.new)}
        return account | {"dropped": self.dropped, "notes": list(self.notes)}


def load_foreign(state_dict: Mapping[str, Any], model: Classifier, *, replace_head: bool = True) -> ForeignReport:
    """Copy what fits of ``state_dict`` into ``model``, across code bases and kinds of temporal module.

    A TSM checkpoint gives a TIN everything but its steering networks; a TIN checkpoint leaves them behind in a TSM or
    TSN. A first convolution of RGB is turned to the model's modality. A classifier of another size is dropped, and the
    model keeps its own; without ``replace_head`` it is an error. Batch counters may be missing. Raises
    :class:`~tinkit.errors.UserError`, and copies nothing, for a layout that is not known and for another backbone: a
    file that holds less than half of the weights of the backbone's convolutions and linear layers, and for weights that
    are non-finite.
    """
    own = model.state_dict()
    used, dropped, layout = match_foreign(state_dict, model)
    _check_backbone(own, used, dropped)
    if not replace_head:
        _check_head(dropped)
    check_finite({key: state_dict[key] for key in used})
    notes = []
    filled = set(used.values())
    with torch.no_grad():
        for key, target in used.items():
            value = state_dict[key]
            if value.shape != own[target].shape and _is_rgb_of(target, value, own[target], model):
                value = turn_rgb_weight(value, own[target].shape[1])
                notes.append(f"{target}: the mean over RGB of the file's weights, for {value.shape[1]} channels")
            own[target].copy_(value.reshape(own[target].shape))
        for target in own.keys() - filled if layout == "mmaction2" else ():
            if _NO_BIAS.fullmatch(target):
                own[target].zero_()
                notes.append(f"{target}: zero, since the file's convolution has no bias")
    return ForeignReport(used, tuple(name for name in own if name not in filled), dropped, layout, tuple(sorted(notes)))


def match_foreign(state_dict: Mapping[str, Any], model: Classifier) -> tuple[dict[str, str], dict[str, str], str]:
    """``used``, ``dropped`` and ``layout`` of the report that loading would give; nothing is copied."""
    own = model.state_dict()
    names = {key: stripped(key) for key in state_dict}
    layout = recognise({name: state_dict[key] for key, name in names.items()}, model)
    used: dict[str, str] = {}
    dropped: dict[str, str] = {}
    taken = set()
    for key, name in names.items():
        target = layout.ours(name)
        if target in taken:
            dropped[key] = f"a second entry for {target}"
        elif reason := _misfit(target, state_dict[key], own, model):
            dropped[key] = reason
        else:
            used[key] = target
            taken.add(target)
    return used, dropped, layout.name


def classes_in(state_dict: Mapping[str, Any], model: Classifier) -> int | None:
    """How many classes the checkpoint's classifier has, whatever ``model`` has; None where the file has none."""
    layers = [f"{name}.weight" for name in model.class_layers()]
    names = {key: stripped(key) for key in state_dict}
    layout = recognise({name: state_dict[key] for key, name in names.items()}, model)
    for key, name in names.items():
        if layout.ours(name) in layers and isinstance(state_dict[key], Tensor) and state_dict[key].ndim:
            return int(state_dict[key].shape[0])
    return None


def _check_backbone(own: Mapping[str, Tensor], used: Mapping[str, str], dropped: Mapping[str, str]) -> None:
    """Raise if most of the backbone's weights would keep their random start: the file is of another backbone."""
    filled = set(used.values())
    weights = [n for n, value in own.items() if n.startswith("backbone.") and ".temporal." not in n and value.ndim > 1]
    fitting = sum(name in filled for name in weights)
    if 2 * fitting < len(weights):
        reasons = "; ".join(reason for reason in dropped.values() if "backbone." in reason and "shape" in reason)
        raise UserError(
            f"the checkpoint is of another backbone: {fitting} of the model's {len(weights)} weights of convolutions "
            f"and linear layers are in it: {reasons[:300] or 'none is named like them'}",
            fix="name the backbone that the checkpoint was made with",
        )


def _check_head(dropped: Mapping[str, str]) -> None:
    """Raise if a classifier would be replaced and that was not asked for."""
    reason = next((reason for reason in dropped.values() if reason.startswith("a classifier")), None)
    if reason is not None:
        raise UserError(
            f"the checkpoint has {reason}",
            fix="name a data set of the checkpoint's classes, or ask for a new classifier: --replace-head",
        )


def _without_names(reason: str) -> str:
    """A reason without the layer's name and the shapes, so that reasons of one kind are counted together."""
    plain = re.sub(r"\(\d[\d, ]*\)", "(...)", re.sub(r"\bbackbone\.\S+", "a layer", reason))
    return plain.replace("has no a layer", "has no such layer")


def _misfit(target: str, value: Any, own: Mapping[str, Tensor], model: Classifier) -> str | None:
    """Why ``value`` cannot become the model's ``target``; None if it can."""
    head = target in own and target.rpartition(".")[0] in model.class_layers()
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return "a classifier that is not a plain tensor" if head else "not a plain tensor"
    if target not in own:
        other = next((row for row in TEMPORAL_MODULES if row.foreign.holds(target)), None)
        if other is not None and other.name != model.temporal:
            return f"a {other.foreign.weights}, and a {model.temporal} model has none"
        return f"the model has no {target.rpartition('.')[0] or target}"
    if (value.is_floating_point(), value.is_complex()) != (own[target].is_floating_point(), own[target].is_complex()):
        return f"{'a classifier of ' * head}{value.dtype} numbers, and {target} of the model is {own[target].dtype}"
    here, there = tuple(own[target].shape), tuple(value.shape)
    if target == "classifier.weight" and there[2:] == (1, 1):  # timm's ResNet-v2 classifies by a convolution
        there = there[:2]
    if here == there or _is_rgb_of(target, value, own[target], model):
        return None
    if head and len(there) == len(here) and there[1:] == here[1:]:
        return f"a classifier of {there[0]} classes, and the model has {here[0]}"
    if target.startswith(("classifier.", "consensus.")):
        return f"a classifier whose {target} is {there}, and the model's is {here}"
    if ".temporal.offset_net.fc" in target:
        return f"steering for another number of segments: shape {there}, and {target} of the model is {here}"
    return f"shape {there}, and {target} of the model is {here}"


def _is_rgb_of(target: str, value: Tensor, own: Tensor, model: Classifier) -> bool:
    """Whether ``value`` is the model's first convolution as it is for RGB, and the model reads something else."""
    if model.modality == "rgb" or value.ndim != 4 or value.shape[1] != 3 or own.shape[1] == 3:
        return False
    fits = (value.shape[0], *value.shape[2:]) == (own.shape[0], *own.shape[2:])
    return fits and target == f"backbone.{first_convolution(model.backbone)[0]}.weight"
