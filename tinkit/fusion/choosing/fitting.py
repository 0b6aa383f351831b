"""Fit a way to fuse on a labelled split, and estimate what it is worth.

What is measured on the clips that a method was fitted on is optimistic. Beside it stands a cross-validated estimate:
the split is divided into parts that share no source video, and each is scored with what was learned from the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tinkit.errors import UserError
from tinkit.fusion.arrays import Learned
from tinkit.fusion.choosing.crossfit import labelled, learn, options_for, out_of_fold
from tinkit.fusion.choosing.estimate import Interval, by_source, difference_interval
from tinkit.fusion.members import Aligned
from tinkit.fusion.methods import METHODS, FusionMethod
from tinkit.metrics import MetricName, Metrics, evaluate


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a method has ``learned`` for ``metric`` from ``rows`` of the ``known`` clips that it could be fitted on.

    ``cross_validated`` are the metrics of all clips, each scored with what was learned from the parts that it was not
    in (``part_learned``, one a part); ``equal`` those of the equal mean on the same clips, to compare them with.
    ``improvement`` is what the metric of the first is above that of the second, with its interval over sources.
    """

    metric: MetricName
    learned: Learned
    rows: int
    known: int
    cross_validated: Metrics
    equal: Metrics
    part_learned: tuple[Learned, ...]
    improvement: Interval | None = None


def fit(
    aligned: Aligned,
    metric: MetricName,
    *,
    method: FusionMethod = METHODS["search"],
    keys: Mapping[str, Any] = MappingProxyType({}),
    parts: int | None = None,
    seed: int = 0,
) -> Fitted:
    """Fit ``method`` on the labelled clips that every member has scores for, and estimate what it is worth.

    Of more than :data:`~tinkit.fusion.choosing.crossfit.FIT_ROWS` such clips, both are done with a stratified draw of
    that size.

    ``keys``: values of the method's own keys. Deterministic in ``seed``. Raises :class:`~tinkit.errors.UserError` when
    a member was trained on this split, when no clip is labelled, and when there are fewer sources than ``parts``;
    ValueError for a method that learns nothing.
    """
    if method.fit is None:
        raise ValueError(f"the method {method.name} learns nothing")
    refuse_trained_on(aligned)
    given = labelled(aligned, seed)
    options = options_for(aligned, metric, seed, keys)
    held_out, part_learned = out_of_fold(method, given, options, parts)
    alike = equal_row(aligned)
    plain, _ = out_of_fold(alike, given, options, parts)
    task = aligned.infos[0].task
    own, beside = (by_source(metric, scores, given.labels, given.source) for scores in (held_out, plain))
    return Fitted(
        metric=options.metric,
        learned=learn(method, given, np.arange(given.rows.size), options),
        rows=given.rows.size,
        known=given.known,
        cross_validated=evaluate(held_out, given.labels, task),
        equal=evaluate(plain, given.labels, task),
        part_learned=part_learned,
        improvement=difference_interval(own, beside, seed),
    )


def equal_row(aligned: Aligned) -> FusionMethod:
    """The plain mean of members of this kind."""
    return METHODS[f"mean-{aligned.kind}"]


def refuse_trained_on(aligned: Aligned) -> None:
    """Raise a UserError when any member was trained on the split it is to be fitted or judged on."""
    for name, info in zip(aligned.names, aligned.infos, strict=True):
        if info.split in info.trained_on:
            raise UserError(
                f"member {name!r} was trained on {info.split!r}: on it, it looks better than it is",
                fix="fit on a split that no member has seen (--fit), or use a mean with --fit none",
            )
