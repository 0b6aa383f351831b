"""What a fusion measures: its members, their equal mean, fitted weights, and whether those are worth using."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinkit.fusion.mean import combine, equal_weights
from tinkit.fusion.members import Aligned
from tinkit.fusion.search import Fitted
from tinkit.metrics import Metrics, evaluate
from tinkit.scores import mark_labels


@dataclass(frozen=True)
class Measured:
    """What was measured on the fitting split: each member alone, their equal mean, the fusion, and its estimate.

    ``cross_validated`` is measured on the clips that all members have scores for, and is to be compared with
    ``cross_validated_equal``, the equal mean on just those. ``rejected`` is what fitted weights measured that were not
    used, since equal ones are as good or better: over the whole split, or by the cross-validated estimate, as
    ``reason`` says (None: they were used).
    """

    members: tuple[Metrics, ...]
    equal: Metrics
    fused: Metrics
    cross_validated: Metrics | None = None
    cross_validated_equal: Metrics | None = None
    rejected: Metrics | None = None
    reason: Literal["whole split", "cross-validation"] | None = None


def measure_fusion(aligned: Aligned, fitted: Fitted | None, metric: str) -> Measured | None:
    """Measure ``aligned`` and its fusions on its own labels; None where there are none."""
    task = aligned.infos[0].task
    labels = mark_labels(aligned.labels, len(aligned.infos[0].classes))
    if not labels.any():
        return None
    alone = tuple(
        evaluate(scores, labels, task, valid=valid) for scores, valid in zip(aligned.scores, aligned.valid, strict=True)
    )
    present = aligned.valid.any(axis=0)
    equal = evaluate(combine(aligned).scores, labels, task, valid=present)
    if fitted is None:
        return Measured(alone, equal, equal)
    searched = evaluate(combine(aligned, fitted.weights).scores, labels, task, valid=present)
    reason = _no_better(fitted, searched, equal, metric)
    return Measured(
        members=alone,
        equal=equal,
        fused=equal if reason else searched,
        cross_validated=fitted.cross_validated,
        cross_validated_equal=fitted.equal,
        rejected=searched if reason else None,
        reason=reason,
    )


def _no_better(
    fitted: Fitted, searched: Metrics, equal: Metrics, metric: str
) -> Literal["whole split", "cross-validation"] | None:
    """By what the fitted weights are no better than equal ones; None where they are better, or equal themselves."""
    if np.array_equal(fitted.weights, equal_weights(len(fitted.weights))):
        return None
    # Weights are searched on clips that all members have, and of many clips on some: over all, they may be worse.
    if searched[metric] <= equal[metric]:
        return "whole split"
    return "cross-validation" if fitted.cross_validated[metric] <= fitted.equal[metric] else None
