"""Which way a fusion takes and with what: as its ensemble says, or as ``auto`` chooses; fitted where labels are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.choosing.choice import Choice, choose
from tinkit.fusion.choosing.crossfit import options_for
from tinkit.fusion.choosing.fitting import Fitted, equal_row, fit, refuse_trained_on
from tinkit.fusion.combine import Combination, weights_of
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.methods import METHODS, FusionMethod
from tinkit.fusion.scales import spreads_of, to_one_spread
from tinkit.fusion.spec import EnsembleSpec
from tinkit.fusion.ways.mean import equal_weights
from tinkit.metrics import MetricName
from tinkit.scores import Kind

AlignedAs = Callable[[Kind], Aligned]


@dataclass(frozen=True, eq=False)
class Decision:
    """The way ``row``, which takes the members' scores as ``kind``, with all that it has learned: ``chosen``.

    ``scale`` (M,): what the members' logits are multiplied with before they become another kind. ``equal`` is the plain
    mean of the same members, ``spreads`` (M,) what their logits spread; None where that does not matter. ``fitted`` is
    known where ``row`` learned from labels, ``choice`` where ``auto`` chose it. ``keys`` are what the ensemble says to
    ``row``.
    """

    row: FusionMethod
    kind: Kind
    scale: NDArray[np.float64]
    chosen: Combination
    equal: Combination
    fitted: Fitted | None = None
    choice: Choice | None = None
    spreads: NDArray[np.float64] | None = None
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def keys_for(self, kept: Sequence[int]) -> dict[str, Any]:
        """``keys`` where only the members ``kept`` are left."""
        keys = dict(self.keys)
        if "member_weights" in keys:
            keys["member_weights"] = [keys["member_weights"][number] for number in kept]
        return keys

    def fallen_back(self) -> Decision:
        """The equal mean in the place of what was fitted."""
        row = METHODS[f"mean-{self.kind}"]
        return dataclasses.replace(self, row=row, chosen=self.equal)

    @property
    def weights(self) -> list[float] | None:
        """Each member's weight, summing to 1, as a reader thinks of it; None where a member has no single weight.

        Where a way divides members by their spread, the weights are of what that leaves: those of a mean are equal.
        """
        weights = weights_of(self.chosen.learned)
        if weights is None or (self.row.fit is not None and "scale" not in self.chosen.learned):
            return weights
        shares = np.array(weights) * (1.0 if self.row.fit is not None or self.spreads is None else self.spreads)
        whole = float(shares.sum())
        if whole <= 0:
            return weights
        shares, alike = shares / whole, equal_weights(len(weights))
        return (alike if np.allclose(shares, alike, rtol=1e-9) else shares).tolist()


def decide(spec: EnsembleSpec, members: Sequence[Member], metric: MetricName) -> Decision:
    """The way that ``spec`` takes, by the ``members``' scores of its first split.

    Raises as :func:`tinkit.fusion.choosing.fitting.fit`.
    """
    kinds = [member.table.info.kind for member in members]
    scale = np.ones(len(members)) if spec.scale == "none" else to_one_spread(members)

    def aligned_as(kind: Kind) -> Aligned:
        return align(members, kind=kind, missing=spec.missing, scale=scale)

    keys: dict[str, Any] = {"scale": spec.scale}
    if (row := spec.row) is None:
        row, fitted, choice = choose(
            aligned_as,
            kinds,
            metric,
            parts=spec.parts,
            seed=spec.seed,
            minutes=spec.minutes,
            keys=keys,
        )
        learned_here, aligned = fitted if row.fit else None, aligned_as(row.kind_taken(kinds, spec.space))
        spreads = _spreads(aligned, spec)
        chosen = Combination(row.apply, fitted.learned, row.gives)
        equal = _equal(aligned, metric, spec)
        return Decision(row, aligned.kind, scale, chosen, equal, learned_here, choice, spreads, keys)
    aligned = aligned_as(row.kind_taken(kinds, spec.space))
    keys, spreads = spec.keys_of(row), _spreads(aligned, spec)
    if row.fit is not None:
        fitted = fit(aligned, metric, method=row, keys=keys, parts=spec.parts, seed=spec.seed)
        chosen = Combination(row.apply, fitted.learned, row.gives)
        return Decision(row, aligned.kind, scale, chosen, _equal(aligned, metric, spec), fitted, None, spreads, keys)
    if spec.fit:
        refuse_trained_on(aligned)
    chosen = Combination(row.apply, row.start(options_for(aligned, metric, spec.seed, keys)), row.gives)
    return Decision(row, aligned.kind, scale, chosen, _equal(aligned, metric, spec), None, None, spreads, keys)


def _equal(aligned: Aligned, metric: MetricName, spec: EnsembleSpec) -> Combination:
    row = equal_row(aligned)
    return Combination(row.apply, row.start(options_for(aligned, metric, spec.seed, {"scale": spec.scale})))


def _spreads(aligned: Aligned, spec: EnsembleSpec) -> NDArray[np.float64] | None:
    return spreads_of(aligned) if aligned.kind == "logits" and spec.scale != "none" else None
