"""The table of the ways to fuse. A way is pure functions on arrays in a file of its own, and one row here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tinkit.fusion.arrays import Apply, Fit, Start
from tinkit.fusion.ways.mean import start_alike, start_by_hand, start_equal, weighted_mean
from tinkit.fusion.ways.probabilities import (
    fit_temperatures,
    mean_at_temperatures,
    power_mean,
    start_power,
    start_temperatures,
)
from tinkit.fusion.ways.search import fit_weights
from tinkit.fusion.ways.stack import (
    apply_stack,
    fit_stack,
    fit_stack_classes,
    fit_stack_mixed,
    start_stack,
    start_stack_classes,
    start_stack_mixed,
)
from tinkit.scores import Kind


@dataclass(frozen=True)
class FusionMethod:
    """One row of the table.

    ``formula`` says on one line what becomes of the members' scores. These are turned into the kind ``takes`` first
    (None: the kind that the key ``space`` names); the result is of the kind ``gives`` (None: the same).

    ``start(options)`` is what the method uses without a labelled split. ``fit(examples, options)`` learns it from
    labelled clips; None: nothing is learned. Either gives the arrays that ``learns`` describes by name, which are saved
    in ``fusion.json``. ``apply(scores, valid, learned)`` fuses: of each of M members scores (n, C), with rows of NaN
    where ``valid`` (M, n) is False, to (n, C) float64. Rows that no member has are ignored.

    ``keys`` are the keys of an ensemble's toml that mean something with this method only. With ``also_ranks`` it takes
    ranks in the place of logits where a member has nothing else. ``in_auto``: whether ``auto`` tries it; rows stand in
    the order in which ``auto`` prefers them where they are worth the same, the simplest first. ``pairs_classes``: what
    is learned grows with the square of the classes. ``begins_with`` names the row whose learned arrays a fit begins
    with; it finds them itself where it has none.
    """

    name: str
    formula: str
    takes: Kind | None
    apply: Apply
    start: Start
    gives: Kind | None = None
    fit: Fit | None = None
    learns: Mapping[str, str] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    also_ranks: bool = False
    in_auto: bool = False
    pairs_classes: bool = False
    begins_with: str | None = None

    def kind_taken(self, kinds: Iterable[Kind], space: Kind) -> Kind:
        """What members of ``kinds`` are turned into first; ``space`` where the row leaves it open."""
        return "ranks" if self.also_ranks and "ranks" in kinds else self.takes or space


_ALIKE = {"weights": "(M,): summing to 1, in proportion to one over how far a member's logits spread"}
_EQUAL = {"weights": "(M,): 1 / M each"}
_STACK = {
    "weights": "(M,): none negative, of members divided by their spread",
    "bias": "(C,): of each class",
    "scale": "(M,): the members' spreads",
    "centre": "(1,): whether a clip's mean score is taken off first",
}
_CLASSES = {**_STACK, "deviation": "(C, M): what a class's weights deviate from the shared ones"}
_ROWS = (
    FusionMethod(
        name="mean-logits",
        formula="the mean of the members' logits, each divided by how far it spreads (scale)",
        takes="logits",
        apply=weighted_mean,
        start=start_alike,
        learns=_ALIKE,
        in_auto=True,
    ),
    FusionMethod(
        name="mean-probabilities",
        formula="the mean of the members' probabilities, their logits brought to the same spread before (scale)",
        takes="probabilities",
        apply=weighted_mean,
        start=start_equal,
        learns=_EQUAL,
        in_auto=True,
    ),
    FusionMethod(
        name="mean-ranks",
        formula="the mean of each class's places in the members' rankings of a clip, from 0 (last) to 1 (first);"
        " weak members cost it much",
        takes="ranks",
        apply=weighted_mean,
        start=start_equal,
        learns=_EQUAL,
        in_auto=True,
    ),
    FusionMethod(
        name="power-mean",
        formula="(the mean of p^power)^(1/power) of the members' probabilities p (power, scale)",
        takes="probabilities",
        apply=power_mean,
        start=start_power,
        learns={**_EQUAL, "power": "(1,): of the key `power`"},
        keys=frozenset({"power"}),
    ),
    FusionMethod(
        name="by-hand",
        formula="the mean with each member's own weight (weight = 1.5) of logits or probabilities (space, scale)",
        takes=None,
        apply=weighted_mean,
        start=start_by_hand,
        learns={"weights": "(M,): none negative, summing to 1, of the members as they are"},
        keys=frozenset({"space"}),
        also_ranks=True,
    ),
    FusionMethod(
        name="temperatures",
        formula="the mean of the members' probabilities after each one's own temperature, fitted on --fit",
        takes="logits",
        gives="probabilities",
        apply=mean_at_temperatures,
        start=start_temperatures,
        fit=fit_temperatures,
        learns={
            **_EQUAL,
            "temperature": "(M,): that logits are divided by",
            "offset": "(M,): that is added then; 0 for one label a clip",
            "single_label": "(1,): whether clips have one label",
        },
    ),
    FusionMethod(
        name="search",
        formula="the weighted mean of logits (or probabilities: space), with weights searched for the metric on --fit",
        takes=None,
        apply=weighted_mean,
        start=start_equal,
        fit=fit_weights,
        learns={"weights": "(M,): none negative, summing to 1, of the members as they are"},
        keys=frozenset({"space"}),
    ),
    FusionMethod(
        name="stack",
        formula="the weighted sum of logits plus a bias a class, by a smooth loss on --fit",
        takes="logits",
        gives="logits",
        apply=apply_stack,
        start=start_stack,
        fit=fit_stack,
        learns=_STACK,
        also_ranks=True,
    ),
    FusionMethod(
        name="stack-classes",
        formula="stack, with weights a class that are shrunk to the shared ones",
        takes="logits",
        gives="logits",
        apply=apply_stack,
        start=start_stack_classes,
        fit=fit_stack_classes,
        learns=_CLASSES,
        begins_with="stack",
        also_ranks=True,
        in_auto=True,
    ),
    FusionMethod(
        name="stack-mixed",
        formula="stack-classes, in which a class also sees the fused scores of the other classes",
        takes="logits",
        gives="logits",
        apply=apply_stack,
        start=start_stack_mixed,
        fit=fit_stack_mixed,
        learns={
            **_CLASSES,
            "mixing": "(C, C): what each class (row) takes of the fused scores of all",
            "shared": "(M,): the weights of those fused scores",
        },
        also_ranks=True,
        in_auto=True,
        pairs_classes=True,
        begins_with="stack-classes",
    ),
)
METHODS: Mapping[str, FusionMethod] = MappingProxyType({row.name: row for row in _ROWS})
OWN_KEYS = frozenset(key for row in _ROWS for key in row.keys)
"""The keys of an ensemble's toml that not every method takes."""
AUTO = "auto"
"""The choice among the rows: what a method is called that is none of them."""
