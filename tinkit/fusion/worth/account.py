"""What each member of a fusion is worth, how much members say the same, and which classes a fusion helps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Matrix
from tinkit.fusion.choosing.crossfit import Labelled, OutOfTimeError, labelled, options_for, out_of_fold
from tinkit.fusion.choosing.estimate import by_source, standard_error
from tinkit.fusion.choosing.fitting import equal_row
from tinkit.fusion.decide import Decision
from tinkit.fusion.members import Aligned
from tinkit.metrics import MetricName, Task, class_ap

CLIPS = 3000  # that worth is measured on: every member costs the fits of a cross-validation
_PARTS = 3


@dataclass(frozen=True)
class Worth:
    """What a fusion measures, cross-validated, less what it measures without a member, and the error of that.

    None where that would have taken too long. ``can_go``: it is not above its error, so the member is worth nothing
    that could be told.
    """

    name: str
    worth: float | None
    standard_error: float | None
    can_go: bool


@dataclass(frozen=True, eq=False)
class Account:
    """Each member's :class:`Worth`; ``together`` is what is lost without all of those that can go, None if none can.

    ``correlation`` (M, M) is that of members' errors: of their scores, each clip's mean and the mean of clips with and
    without a class taken off. ``by_class`` (C,) is what the fusion is above the equal mean, class by class: average
    precision, or recall where clips have one label; NaN for a class without a positive. Of ``clips`` clips.
    """

    members: tuple[Worth, ...]
    together: float | None
    correlation: NDArray[np.float64]
    by_class: NDArray[np.float64]
    clips: int

    def content(self, classes: Sequence[str]) -> dict[str, Any]:
        """For ``fusion.json``; the classes are named."""
        return {
            "clips": self.clips,
            "members": [dataclasses.asdict(one) for one in self.members],
            "together": self.together,
            "correlation": [[round(float(value), 4) for value in row] for row in self.correlation],
            "by_class": {
                name: None if np.isnan(value) else float(value)
                for name, value in zip(classes, self.by_class, strict=True)
            },
        }


def account_of(
    aligned: Aligned, decision: Decision, metric: MetricName, *, seed: int = 0, minutes: float = 15.0
) -> Account:
    """The account of a fusion of ``aligned``: its way is refitted without each member, on a draw of the clips."""
    until = time.monotonic() + 60 * minutes
    given, every = drawn_clips(aligned, seed), range(len(aligned.names))
    held_out = scored_with(given, every, decision, metric, seed)
    base = by_source(metric, held_out, given.labels, given.source)
    members = []
    for number, name in enumerate(aligned.names):
        try:
            kept = [other for other in every if other != number]
            found = scored_with(given, kept, decision, metric, seed, until)
        except OutOfTimeError:
            members.append(Worth(name, None, None, can_go=False))
            continue
        without = by_source(metric, found, given.labels, given.source)
        error = standard_error(base, without)
        lost = base.value - without.value
        members.append(Worth(name, lost, error, can_go=lost <= error))
    going = [number for number, one in enumerate(members) if one.can_go]
    together = None
    if 0 < len(going) < len(members):
        kept = [number for number in every if number not in going]
        left = by_source(metric, scored_with(given, kept, decision, metric, seed), given.labels, given.source)
        together = base.value - left.value
    options = options_for(aligned, metric, seed, decision.keys)
    plain, _ = out_of_fold(equal_row(aligned), given, options, _PARTS)
    by_class = _class_values(held_out, given.labels, options.task) - _class_values(plain, given.labels, options.task)
    return Account(tuple(members), together, _correlation(given), by_class, given.rows.size)


def drawn_clips(aligned: Aligned, seed: int) -> Labelled:
    """The labelled clips, or a draw of :data:`CLIPS` of them."""
    return labelled(aligned, seed, CLIPS)


def scored_with(
    given: Labelled,
    kept: Sequence[int],
    decision: Decision,
    metric: MetricName,
    seed: int,
    until: float | None = None,
) -> Matrix:
    """The scores (n, C) out of fold of the members ``kept`` alone; all alike where no member, or no weight, is left.

    Raises as :func:`tinkit.fusion.choosing.crossfit.out_of_fold`.
    """
    keys = decision.keys_for(kept)
    if not kept or not any(keys.get("member_weights", [1])):
        return np.zeros(given.labels.shape, np.float32)
    some = dataclasses.replace(given, aligned=_some(given.aligned, kept))
    options = options_for(some.aligned, metric, seed, keys)
    return out_of_fold(decision.row, some, options, _PARTS, until=until)[0]


def _some(aligned: Aligned, kept: Sequence[int]) -> Aligned:
    """Only the members ``kept``."""
    return Aligned(
        names=tuple(aligned.names[number] for number in kept),
        infos=tuple(aligned.infos[number] for number in kept),
        kind=aligned.kind,
        ids=aligned.ids,
        scores=tuple(aligned.scores[number] for number in kept),
        valid=aligned.valid[list(kept)],
        labels=aligned.labels,
        source=aligned.source,
    )


def _correlation(given: Labelled) -> NDArray[np.float64]:
    errors = []
    positives = given.labels.sum(axis=0)
    for own in given.examples(np.arange(given.rows.size)).scores:
        values = own.astype(np.float64) - own.mean(axis=1, keepdims=True)
        with_class = (values * given.labels).sum(axis=0) / np.maximum(positives, 1)
        without = (values * ~given.labels).sum(axis=0) / np.maximum(len(values) - positives, 1)
        errors.append((values - np.where(given.labels, with_class, without)).reshape(-1))
    spread = [float(np.linalg.norm(one)) or 1.0 for one in errors]
    return np.array([[first @ second / a / b for second, b in zip(errors, spread, strict=True)]
                     for first, a in zip(errors, spread, strict=True)])  # fmt: skip


def _class_values(scores: Matrix, labels: NDArray[np.bool_], task: Task) -> NDArray[np.float64]:
    if task == "multi-label":
        return class_ap(scores, labels)
    best = scores.argmax(axis=1)
    hits = labels[np.arange(len(labels)), best]
    count = labels.sum(axis=0).astype(np.float64)
    right = np.bincount(best[hits], minlength=labels.shape[1])
    return np.divide(right, count, out=np.full(count.shape, np.nan), where=count > 0)
