"""The table of the ways to fuse. A way is pure functions on arrays in a file of its own, and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tinkit.fusion.arrays import Apply, Fit, Start
from tinkit.fusion.mean import start_equal, weighted_mean
from tinkit.fusion.search import fit_weights
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

    ``keys`` are the keys of an ensemble's toml that mean something with this method only.
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


_EQUAL = {"weights": "(M,): 1 / M each"}
_ROWS = (
    FusionMethod(
        name="mean-logits",
        formula="the mean of the members' logits",
        takes="logits",
        apply=weighted_mean,
        start=start_equal,
        learns=_EQUAL,
    ),
    FusionMethod(
        name="mean-probabilities",
        formula="the mean of the members' probabilities",
        takes="probabilities",
        apply=weighted_mean,
        start=start_equal,
        learns=_EQUAL,
    ),
    FusionMethod(
        name="mean-ranks",
        formula="the mean of each class's places in the members' rankings of a clip, from 0 (last) to 1 (first)",
        takes="ranks",
        apply=weighted_mean,
        start=start_equal,
        learns=_EQUAL,
    ),
    FusionMethod(
        name="search",
        formula="the weighted mean of logits (or probabilities: space), with weights searched for the metric on --fit",
        takes=None,
        apply=weighted_mean,
        start=start_equal,
        fit=fit_weights,
        learns={"weights": "(M,): none negative, summing to 1"},
        keys=frozenset({"space"}),
    ),
)
METHODS: Mapping[str, FusionMethod] = MappingProxyType({row.name: row for row in _ROWS})
OWN_KEYS = frozenset(key for row in _ROWS for key in row.keys)
"""The keys of an ensemble's toml that not every method takes."""
