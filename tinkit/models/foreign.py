"""Load the weights of another code base, or of another kind of network, and account for every entry.

Known layouts, told apart by how they name a block's first convolution (a leading ``module.`` does not matter):

========== ============================================ =======================================================
name       written by                                   ``conv1`` of the first block
========== ============================================ =======================================================
tinkit     this package                                 ``backbone.layer1.0.conv1.weight``
tin        the TIN repository, X-Temporal               ``base_model.layer1.0.conv1.net2.weight``
tsm        the TSM repository, X-Temporal               ``base_model.layer1.0.conv1.net.weight``
tsn        the same three, without a temporal module    ``base_model.layer1.0.conv1.weight``
resnet     timm, torchvision                            ``layer1.0.conv1.weight``
========== ============================================ =======================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tinkit.errors import UserError

if TYPE_CHECKING:
    from tinkit.models.video import VideoClassifier

_BLOCK = r"layer\d+\.\d+\.conv\d+"
# In this order: a file of the TSM repository also has blocks that it does not shift.
_SIGNATURES = {
    "tinkit": (rf"backbone\.{_BLOCK}\.weight", "backbone.layer1.0.conv1.weight"),
    "tin": (rf"base_model\.{_BLOCK}\.net2\.weight", "base_model.layer1.0.conv1.net2.weight"),
    "tsm": (rf"base_model\.{_BLOCK}\.net\.weight", "base_model.layer1.0.conv1.net.weight"),
    "tsn": (rf"base_model\.{_BLOCK}\.weight", "base_model.layer1.0.conv1.weight"),
    "resnet": (rf"{_BLOCK}\.weight", "layer1.0.conv1.weight"),
}
_PARTS = (
    (".net1.biasnet.net.conv.", ".temporal.offset_net.conv."),
    (".net1.biasnet.net.fc.", ".temporal.offset_net.fc1."),
    (".net1.biasnet.net.lastlayer.", ".temporal.offset_net.fc2."),
    (".net1.weightnet.net.lastlayer.", ".temporal.gain_net.conv."),
    (".net2.", "."),
    (".net.", "."),
)


@dataclass(frozen=True)
class ForeignReport:
    """What became of every entry: ``used`` {key in the file: key in the model}, ``new`` keys of the model that the file
    did not fill, ``dropped`` {key in the file: why}, and the ``layout`` of the file.
    """

    used: dict[str, str]
    new: tuple[str, ...]
    dropped: dict[str, str]
    layout: str

    def summary(self) -> str:
        """A few lines for a person: counts, what starts anew, and each reason with the number of entries it dropped."""
        fresh = [key for key in self.new if not key.endswith("num_batches_tracked")]
        lines = [f"layout {self.layout}: {len(self.used)} entries used, {len(fresh)} new, {len(self.dropped)} dropped"]
        if fresh:
            lines.append(f"  new: {', '.join(fresh[:4])}{', ...' if len(fresh) > 4 else ''}")
        for reason, count in Counter(map(_without_names, self.dropped.values())).most_common():
            lines.append(f"  dropped {count}: {reason}")
        return "\n".join(lines)


def load_foreign(state_dict: Mapping[str, Any], model: VideoClassifier) -> ForeignReport:
    """Copy what fits of ``state_dict`` into ``model``, across code bases and kinds of temporal module.

    A TSM checkpoint gives a TIN everything but its steering networks; a TIN checkpoint leaves them behind in a TSM or
    TSN. A classifier of another size is dropped. Batch counters may be missing. Raises
    :class:`~tinkit.errors.UserError`, and copies nothing, for a layout that is not known and for another backbone: a
    file that holds less than half of the model's convolutions.
    """
    stripped = {key: _strip(key) for key in state_dict}
    layout = _recognise(stripped.values())
    own = model.state_dict()
    used: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for key, name in stripped.items():
        target = _rename(name, layout)
        if target in used.values():
            dropped[key] = f"a second entry for {target}"
        elif reason := _misfit(target, state_dict[key], own, model):
            dropped[key] = reason
        else:
            used[key] = target
    _check_backbone(own, used, dropped)
    with torch.no_grad():
        for key, target in used.items():
            own[target].copy_(state_dict[key])
    filled = set(used.values())
    return ForeignReport(used, tuple(name for name in own if name not in filled), dropped, layout)


def _check_backbone(own: Mapping[str, Tensor], used: Mapping[str, str], dropped: Mapping[str, str]) -> None:
    """Raise if most of the model's convolutions would keep their random start: the file is of another backbone."""
    filled = set(used.values())
    convolutions = [name for name, value in own.items() if value.ndim == 4]
    fitting = sum(name in filled for name in convolutions)
    if 2 * fitting < len(convolutions):
        reasons = "; ".join(reason for reason in dropped.values() if "backbone." in reason and ".conv" in reason)
        raise UserError(
            f"the checkpoint is of another backbone: {fitting} of the model's {len(convolutions)} convolutions are in "
            f"it: {reasons[:300] or 'none is named like them'}",
            fix="name the backbone that the checkpoint was made with",
        )


def _without_names(reason: str) -> str:
    """A reason without the layer's name and the shapes, so that reasons of one kind are counted together."""
    return re.sub(r"\(\d[\d, ]*\)", "(...)", re.sub(r"\bbackbone\.\S+", "a layer", reason))


def _strip(key: str) -> str:
    """Without the prefixes that data-parallel and compiled models put before every name."""
    return re.sub(r"^((module|_orig_mod)\.)+", "", key)


def _recognise(names: Any) -> str:
    names = list(names)
    for layout, (signature, _) in _SIGNATURES.items():
        if any(re.fullmatch(signature, name) for name in names):
            return layout
    known = "; ".join(f"{layout} ({example})" for layout, (_, example) in _SIGNATURES.items())
    raise UserError(
        f"a checkpoint of unknown layout; its first keys: {', '.join(names[:5]) or '(none)'}",
        expected=f"one of the layouts {known}",
    )


def _rename(name: str, layout: str) -> str:
    """The model's name for a stripped name of the file."""
    if layout == "tinkit":
        return name
    name = name.removeprefix("base_model.")
    if head := re.fullmatch(r"(?:new_fc|fc)\.(weight|bias)", name):
        return f"classifier.{head[1]}"
    for theirs, ours in _PARTS:
        if theirs in name:
            name = name.replace(theirs, ours)
            break
    return f"backbone.{name}"


def _misfit(target: str, value: Any, own: Mapping[str, Tensor], model: VideoClassifier) -> str | None:
    """Why ``value`` cannot become the model's ``target``; None if it can."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return "not a plain tensor"
    if target not in own:
        if ".temporal." in target and model.temporal != "tin":
            return f"a steering network, and a {model.temporal} model has none"
        return f"the model has no {target.rpartition('.')[0] or target}"
    if (value.is_floating_point(), value.is_complex()) != (own[target].is_floating_point(), own[target].is_complex()):
        return f"{value.dtype} numbers, and {target} of the model is {own[target].dtype}"
    here, there = tuple(own[target].shape), tuple(value.shape)
    if here == there:
        return None
    if target.startswith("classifier.") and len(there) == len(here) and there[1:] == here[1:]:
        return f"a classifier of {there[0]} classes, and the model has {here[0]}"
    if ".temporal.offset_net.fc" in target:
        return f"steering for another number of segments: shape {there}, and {target} of the model is {here}"
    return f"shape {there}, and {target} of the model is {here}"
