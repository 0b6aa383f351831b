"""What a fusion measures: its members, their equal mean, the fusion, and whether what was fitted is worth using."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tinkit.fusion.choosing.estimate import Interval
from tinkit.fusion.choosing.fitting import Fitted
from tinkit.fusion.combine import Combination, equal_mean
from tinkit.fusion.members import Aligned
from tinkit.metrics import Metrics, evaluate
from tinkit.scores import mark_labels


@dataclass(frozen=True)
class Measured:
    """What was measured on the fitting split: each member alone, their equal mean, the fusion, and its estimate.

    ``cross_validated`` is measured on the clips that all members have scores for, and is to be compared with
    ``cross_validated_equal``, the equal mean on just those; ``improvement`` is what the fitted metric is above,
    with its interval over sources. ``rejected`` is what a fitted fusion measured that was not
    used, since the equal mean is as good or better: over the whole split, or by the cross-validated estimate, as
    ``reason`` says (None: it was used).
    """

    members: tuple[Metrics, ...]
    equal: Metrics
    fused: Metrics
    cross_validated: Metrics | None = None
    cross_validated_equal: Metrics | None = None
    improvement: Interval | None = None
    rejected: Metrics | None = None
    reason: Literal["whole split", "cross-validation"] | None = None


def measure_fusion(
    aligned: Aligned, chosen: Combination, fitted: Fitted | None, metric: str, plain: Combination | None = None
) -> Measured | None:
    """Measure ``aligned`` and what ``chosen`` makes of it on its own labels; None where there are none.

    ``fitted`` is what is known of ``chosen`` where it was fitted; None where nothing was. ``plain`` is the equal mean
    to compare it with; the mean of the members as they are if not given.
    """
    plain = plain or equal_mean(len(aligned.names))
    task = aligned.infos[0].task
    labels = mark_labels(aligned.labels, len(aligned.infos[0].classes))
    if not labels.any():
        return None
    alone = tuple(
        evaluate(scores, labels, task, valid=valid) for scores, valid in zip(aligned.scores, aligned.valid, strict=True)
    )
    present = aligned.valid.any(axis=0)
    equal = evaluate(plain.table(aligned).scores, labels, task, valid=present)
    fused = equal if chosen.is_same(plain) else evaluate(chosen.table(aligned).scores, labels, task, valid=present)
    if fitted is None:
        return Measured(alone, equal, fused)
    reason = None if chosen.is_same(plain) else _no_better(fitted, fused, equal, metric)
    return Measured(
        members=alone,
        equal=equal,
        fused=equal if reason else fused,
        cross_validated=fitted.cross_validated,
        cross_validated_equal=fitted.equal,
        improvement=fitted.improvement,
        rejected=fused if reason else None,
        reason=reason,
    )


def _no_better(
    fitted: Fitted, fused: Metrics, equal: Metrics, metric: str
) -> Literal["whole split", "cross-validation"] | None:
    """By what a fitted fusion is no better than the equal mean; None where it is better."""
    # It is fitted on clips that all members have, and of many clips on some: over all, it may be worse.
    if fused[metric] <= equal[metric]:
        return "whole split"
    return "cross-validation" if fitted.cross_validated[metric] <= fitted.equal[metric] else None
