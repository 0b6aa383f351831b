"""How the frames of a clip become its logits: the average, every frame by itself, or relations between frames.

``avg`` and ``identity`` are the segmental consensus of TSN (Wang et al., ECCV 2016, arXiv 1608.00859, section 3.1) on
frames' logits. ``trn`` and ``trn_multiscale`` are the temporal relation network of Zhou, Andonian, Oliva and Torralba
(ECCV 2018, arXiv 1711.08496, section 3, equations 1 to 3) on frames' features, with small networks that end in the
classes, as the authors' code has them.

A consensus says by ``in_features`` how wide a frame has to be that it is given.
"""

from __future__ import annotations

from itertools import combinations
from typing import cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from tinkit.architectures import ConsensusKind
from tinkit.defaults import RELATIONS_SAMPLED
from tinkit.errors import UserError, did_you_mean
from tinkit.models.stock import are_plain, still_written, untouched, written

FRAME_FEATURES = 256  # that a relation sees of each frame, as published
RELATION_HIDDEN = 512  # hidden units of the one relation over all frames
SCALE_HIDDEN = 256  # and of each scale's
MOST_SEGMENTS = 16  # of a network of all scales: 65,519 relations; 24 segments would have 16 million


class Average(nn.Module):
    """The mean of the frames' logits, before any softmax."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.in_features = num_classes

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, num_classes) -> (B, num_classes), float32 or better."""
        return frames.mean(1, dtype=_float32_or_better(frames))

    def class_layers(self) -> dict[str, nn.Linear]:
        """None: frames come as logits."""
        return {}


class EveryFrame(nn.Module):
    """Every frame keeps its logits.

    In training each is held to the labels of its clip, as if it were a clip; in testing a clip has their mean.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.in_features = num_classes

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, num_classes), float32 or better."""
        return frames.to(_float32_or_better(frames))

    def class_layers(self) -> dict[str, nn.Linear]:
        """None: frames come as logits."""
        return {}


class Relation(nn.Module):
    """One relation over all frames in order (equations 1, 2): ReLU, Linear, ReLU, Linear of their features in a row."""

    def __init__(self, num_segments: int, num_classes: int, in_features: int = FRAME_FEATURES) -> None:
        super().__init__()
        self.in_features = in_features
        self.fc1 = nn.Linear(num_segments * in_features, RELATION_HIDDEN)
        self.fc2 = nn.Linear(RELATION_HIDDEN, num_classes)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, in_features) -> (B, num_classes), float32 or better."""
        logits = cast(Tensor, self.fc2(F.relu(self.fc1(F.relu(frames.flatten(1))))))
        return logits.to(_float32_or_better(logits))

    def class_layers(self) -> dict[str, nn.Linear]:
        """The layers whose outputs are the classes, by name."""
        return {"fc2": self.fc2}


class MultiscaleRelation(nn.Module):
    """Relations of all, of all but one, ... and of two frames in order (equation 3).

    A scale of ``k`` frames has one network and ``T! / (k! (T - k)!)`` relations, and adds up ``sampled`` of them, or
    all where there are fewer. In training they are drawn at random in every forward pass, the same for all clips of
    the batch, by PyTorch's generator of the CPU.

    In testing all relations count, each scale's sum being scaled to as many as training adds up: this is the expected
    value of what training draws. The published code draws in testing, too, and its scores change from run to run;
    ``sample_in_test`` does that.

    Raises :class:`~tinkit.errors.UserError` for fewer than 2 or more than 16 segments.
    """

    def __init__(
        self,
        num_segments: int,
        num_classes: int,
        in_features: int = FRAME_FEATURES,
        sampled: int = RELATIONS_SAMPLED,
        *,
        sample_in_test: bool = False,
    ) -> None:
        super().__init__()
        if not 2 <= num_segments <= MOST_SEGMENTS:
            raise UserError(
                f"trn_multiscale of {num_segments} segments",
                expected=f"2 to {MOST_SEGMENTS}: the number of relations doubles with every segment",
            )
        if sampled < 1:
            raise UserError(f"{sampled} relations a scale", expected="1 or more")
        self.in_features, self.sampled, self.sample_in_test = in_features, sampled, sample_in_test
        sizes = range(num_segments, 1, -1)
        self.scales = nn.ModuleList(Scale(size, num_segments, num_classes, in_features) for size in sizes)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, in_features) -> (B, num_classes), float32 or better."""
        draw = self.training or self.sample_in_test
        logits = torch.stack([scale(frames, self.sampled, draw=draw) for scale in self.scales])
        return logits.sum(0, dtype=_float32_or_better(logits))

    def class_layers(self) -> dict[str, nn.Linear]:
        """The layers whose outputs are the classes, by name."""
        return {f"scales.{index}.fc2": cast(Scale, scale).fc2 for index, scale in enumerate(self.scales)}

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"sampled={self.sampled}, sample_in_test={self.sample_in_test}"


_CALLED = written((nn.Linear, "forward"))


class Scale(nn.Module):
    """All relations of ``size`` of the frames, by one network of two layers."""

    def __init__(self, size: int, num_segments: int, num_classes: int, in_features: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size * in_features, SCALE_HIDDEN)
        self.fc2 = nn.Linear(SCALE_HIDDEN, num_classes)
        relations = torch.tensor(list(combinations(range(num_segments), size)))
        self.register_buffer("relations", relations, persistent=False)  # (relations, size): the frames of each

    def forward(self, frames: Tensor, sampled: int, *, draw: bool) -> Tensor:
        """(B, T, in_features) -> (B, num_classes): the sum over ``sampled`` relations, drawn or expected."""
        relations = cast(Tensor, self.relations)
        counted = min(sampled, len(relations))
        if draw:
            relations = relations[torch.randperm(len(relations))[:counted].to(relations.device)]
        if not self._is_as_made():
            taken = frames[:, relations].flatten(2)  # (B, relations, size * in_features)
            return cast(Tensor, self.fc2(F.relu(self.fc1(F.relu(taken))))).mean(1) * counted
        hidden = F.relu(self._first_layer(frames, relations))
        # The second layer is linear: what it makes of the mean of the relations is the mean of what it makes of each.
        return counted * cast(Tensor, self.fc2(hidden.mean(1)))

    def _is_as_made(self) -> bool:
        """Whether clauses 2 to 5 of :mod:`tinkit.models.stock` hold for both layers; else each relation calls them."""
        layers: tuple[nn.Module, ...] = (self.fc1, self.fc2)
        if not all(type(layer) is nn.Linear and untouched(layer) for layer in layers):
            return False
        if not torch.compiler.is_compiling() and (_has_any_global_hook() or not still_written(_CALLED)):
            return False
        return are_plain(self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)

    def _first_layer(self, frames: Tensor, relations: Tensor) -> Tensor:
        """(B, relations, hidden) of frames (B, T, in_features).

        The layer's columns fall into one matrix for each position in a relation. Each is applied once to every frame,
        and relations add up what they need: for 16 frames a 240th of the multiplications that single relations would
        take.
        """
        size = relations.shape[1]
        weight = self.fc1.weight.unflatten(1, (size, -1)).transpose(0, 1).flatten(0, 1)
        placed = F.linear(F.relu(frames), weight).unflatten(2, (size, -1))  # (B, T, size, hidden)
        hidden = self.fc1.bias + placed[:, relations[:, 0], 0]
        for position in range(1, size):
            hidden = hidden + placed[:, relations[:, position], position]
        return hidden


def make_consensus(
    kind: ConsensusKind,
    num_segments: int,
    num_classes: int,
    relation_features: int = FRAME_FEATURES,
    relations_sampled: int = RELATIONS_SAMPLED,
    *,
    sample_in_test: bool = False,
) -> Average | EveryFrame | Relation | MultiscaleRelation:
    """The consensus of that name. The last three arguments are for relations; see :class:`MultiscaleRelation`.

    Raises :class:`~tinkit.errors.UserError` for a name that is not known.
    """
    match kind:
        case "avg":
            return Average(num_classes)
        case "identity":
            return EveryFrame(num_classes)
        case "trn":
            return Relation(num_segments, num_classes, relation_features)
        case "trn_multiscale":
            sizes = (num_segments, num_classes, relation_features)
            return MultiscaleRelation(*sizes, relations_sampled, sample_in_test=sample_in_test)
    kinds = get_args(ConsensusKind)
    raise UserError(f"no consensus is called {kind!r}{did_you_mean(kind, kinds)}", expected=", ".join(kinds))


def _float32_or_better(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
