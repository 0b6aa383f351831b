"""What a fusion's maker should know of its members and of its way, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinkit.fusion.choosing.crossfit import options_for
from tinkit.fusion.combine import Combination
from tinkit.fusion.decide import Decision
from tinkit.fusion.measure import Measured
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.methods import METHODS
from tinkit.fusion.spec import EnsembleSpec
from tinkit.metrics import MetricName, evaluate
from tinkit.scores import mark_labels

_LOOKED_AT = 64  # rows that two members must have alike before all are compared
_MUCH = 0.01  # what ranks lose before it is said


def duplicate_notes(aligned: Aligned) -> list[str]:
    """A note for each member whose scores are those of a member before it, clip by clip."""
    seen: dict[bytes, list[int]] = {}
    notes = []
    for number, own in enumerate(aligned.scores):
        alike = seen.setdefault(np.ascontiguousarray(own[:_LOOKED_AT]).tobytes(), [])
        for other in alike:
            if np.array_equal(own, aligned.scores[other], equal_nan=True):
                first, second = aligned.names[other], aligned.names[number]
                notes.append(f"members {first!r} and {second!r} have the same scores: together they count twice")
                break
        else:
            alike.append(number)
    return notes


def loss_of_ranks(
    decision: Decision, members: Sequence[Member], spec: EnsembleSpec, measured: Measured | None, metric: MetricName
) -> list[str]:
    """A note where the mean of ranks measures less than the mean of logits would."""
    if decision.row.name != "mean-ranks" or measured is None or "ranks" in {one.table.info.kind for one in members}:
        return []
    aligned = align(members, kind="logits", missing=spec.missing)
    row = METHODS["mean-logits"]
    table = Combination(row.apply, row.start(options_for(aligned, metric, spec.seed, {}))).table(aligned)
    labels = mark_labels(aligned.labels, len(aligned.infos[0].classes))
    beside = evaluate(table.scores, labels, aligned.infos[0].task, valid=aligned.valid.any(axis=0))
    lost = beside[metric] - measured.fused[metric]
    if lost < _MUCH:
        return []
    return [
        f"the mean of ranks measures {100 * lost:.1f} points of {metric} less than the mean of logits: "
        "ranks forget how sure a member was, so weak members count as much as strong ones"
    ]
