"""What other code bases call the entries of an image network's state dict: tables that are read both ways.

The names of one entry, the weight of the first convolution of a ResNet and one of what steers it:

=========== =============================================== ================================================
layout      ``conv1`` of the first block                    the second layer of its OffsetNet
=========== =============================================== ================================================
here        ``backbone.layer1.0.conv1.weight``              ``backbone.layer1.0.conv1.temporal.offset_net.fc2``
tin         ``base_model.layer1.0.conv1.net2.weight``       ``base_model.layer1.0.conv1.net1.biasnet.net.lastlayer``
mmaction2   ``backbone.layer1.0.conv1.conv.net2.weight``    ``backbone.layer1.0.conv1.conv.net1.offset_net.fc2``
=========== =============================================== ================================================

A name is made of three things: the head's or the backbone's name in front, pairs of parts that stand for each other,
and wrappers: where another code base puts a module inside one that moves features, the name gets a part more (``net``,
``net2``, ``block``). Which modules are wrapped depends on the model and not on the layout, so wrappers are taken off in
reading, whatever the model is (:func:`unwrapped`), and put on in writing (:func:`wrapped`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Names:
    """One layout: parts of our names and what stands in their place; ``#`` is any number, the same on both sides.

    ``heads`` are beginnings of names outside the backbone; where one of ours has several, the first is written and all
    are read. ``backbone`` is what their names of the backbone begin with. ``pairs`` are parts of these, replaced one
    after the other: in the order given to write, backwards to read.
    """

    heads: Pairs
    backbone: str
    pairs: Pairs = ()

    def ours(self, theirs: str) -> str:
        """Our name of an entry of theirs, which may still have wrappers of theirs in it (:func:`unwrapped`)."""
        heads = (_replaced(f"^{head}", ours, theirs) for ours, head in self.heads)
        if (found := next(filter(None, heads), None)) is not None:
            return found
        name = f"backbone.{theirs.removeprefix(self.backbone)}"
        for ours, part in reversed(self.pairs):
            name = _replaced(part, ours, name) or name
        return name

    def theirs(self, ours: str) -> str:
        """Their name of an entry of ours, which has its wrappers already (:func:`wrapped`)."""
        heads = (_replaced(f"^{own}", head, ours) for own, head in self.heads)
        if (found := next(filter(None, heads), None)) is not None:
            return found
        name = ours
        for part, theirs in self.pairs:
            name = _replaced(part, theirs, name) or name
        return f"{self.backbone}{name.removeprefix('backbone.')}"


def _replaced(part: str, by: str, name: str) -> str | None:
    """``name`` with the first ``part`` replaced, None if it has none. A ``^`` in front binds it to the beginning."""
    anchor, part = ("^", part[1:]) if part.startswith("^") else ("", part)
    numbers = iter(range(1, 1 + by.count("#")))
    replacement = re.sub("#", lambda _: rf"\{next(numbers)}", by)
    new, found = re.subn(anchor + re.escape(part).replace(r"\#", r"(\d+)"), replacement, name, count=1)
    return new if found else None


_RELATIONS: Pairs = (
    ("consensus.fc1.", "consensus.classifier.1."),
    ("consensus.fc2.", "consensus.classifier.3."),
    ("consensus.scales.#.fc1.", "consensus.fc_fusion_scales.#.1."),
    ("consensus.scales.#.fc2.", "consensus.fc_fusion_scales.#.3."),
)
TSN_HEADS: Pairs = (
    ("classifier.", "new_fc."),
    ("classifier.", "base_model.fc."),  # where dropout is 0, the classifier stays in the backbone
    ("classifier.", "base_model.classifier."),  # the same in a MobileNet
    ("classifier.", "fc."),
    *_RELATIONS,
)
MMACTION2_HEADS: Pairs = (
    ("classifier.", "cls_head.fc_cls."),
    *((ours, f"cls_head.{theirs}") for ours, theirs in _RELATIONS),
)

# The repositories of TSN's descendants (TIN, TSM, TRN, X-Temporal) around torchvision's ResNet.
TSN = Names(
    TSN_HEADS,
    "base_model.",
    (
        (".temporal.offset_net.conv.", ".net1.biasnet.net.conv."),
        (".temporal.offset_net.fc1.", ".net1.biasnet.net.fc."),
        (".temporal.offset_net.fc2.", ".net1.biasnet.net.lastlayer."),
        (".temporal.gain_net.conv.", ".net1.weightnet.net.lastlayer."),
        (".non_local#.", ".#.nl."),
        (".nl.out.", ".nl.W.0."),
        (".nl.norm.", ".nl.W.1."),
    ),
)
MMACTION2 = Names(
    MMACTION2_HEADS,
    "backbone.",
    (
        (".temporal.offset_net.", ".net1.offset_net."),
        (".temporal.gain_net.", ".net1.weight_net."),
        (".non_local#.", ".#.non_local_block."),
        (".non_local_block.out.", ".non_local_block.conv_out.conv."),
        (".non_local_block.norm.", ".non_local_block.conv_out.bn."),
        (".downsample.0.", ".downsample.conv."),
        (".downsample.1.", ".downsample.bn."),
        (".conv#.", ".conv#.conv."),
        (".bn#.", ".conv#.bn."),
    ),
)
# the challenge owner's files (moments_models) have their ResNets' classifiers by the second name
TORCHVISION_RESNET = Names((("classifier.", "fc."), ("classifier.", "last_linear.")), "")

_WRAPPER = r"\.(?:net2?|block)(?=\.)"
# A sub-sampled branch is a sequence with its pooling; mmaction2's convolutions are modules of their own inside it.
_BRANCH = r"(\.non_local\d+\.(?:theta|phi|g))(?:\.0)?(?:\.conv)?(?=\.)"


def unwrapped(name: str) -> str:
    """``name``, ours but for wrappers, without them."""
    outside, temporal, steering = name.partition(".temporal.")
    return re.sub(_BRANCH, r"\1", re.sub(_WRAPPER, "", outside)) + temporal + steering


def wrapped(name: str, wrappers: Mapping[str, str]) -> str:
    """``name`` with a part more behind each module that ``wrappers`` names; what is under ``temporal`` is not inside.

    >>> wrapped("backbone.layer2.0.conv1.weight", {"backbone.layer2.0": "block", "backbone.layer2.0.conv1": "net"})
    'backbone.layer2.0.block.conv1.net.weight'
    """
    parts, out = name.split("."), []
    for index, part in enumerate(parts):
        out.append(part)
        wrapper = wrappers.get(".".join(parts[: index + 1]))
        if wrapper is not None and parts[index + 1] != "temporal":
            out.append(wrapper)
    return ".".join(out)
