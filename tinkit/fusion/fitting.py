"""Fit a way to fuse on a labelled split, and estimate what it is worth.

What is measured on the clips that a method was fitted on is optimistic. Beside it stands a cross-validated estimate:
the split is divided into parts that share no source video, and each is scored with what was learned from the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.fusion.arrays import Examples, Learned, Options
from tinkit.fusion.mean import start_equal, weighted_mean
from tinkit.fusion.members import Aligned
from tinkit.fusion.methods import METHODS, FusionMethod
from tinkit.metrics import MetricName, Metrics, check_metric, evaluate
from tinkit.scores import mark_labels

FIT_ROWS = 20_000  # clips that a method is fitted on; of more, a random draw of this size


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a method has ``learned`` from ``rows`` clips for ``metric``.

    ``cross_validated`` are the metrics of all clips, each scored with what was learned from the parts that it was not
    in (``part_learned``, one a part); ``equal`` those of the equal mean on the same clips, to compare them with.
    """

    metric: MetricName
    learned: Learned
    rows: int
    cross_validated: Metrics
    equal: Metrics
    part_learned: tuple[Learned, ...]


def fit(
    aligned: Aligned,
    metric: MetricName,
    *,
    method: FusionMethod = METHODS["search"],
    keys: Mapping[str, Any] = MappingProxyType({}),
    parts: int = 5,
    seed: int = 0,
) -> Fitted:
    """Fit ``method`` on the labelled clips that every member has scores for, and estimate what it is worth.

    ``keys``: values of the method's own keys. Deterministic in ``seed``. Raises :class:`~tinkit.errors.UserError` when
    a member was trained on this split, when no clip is labelled, and when there are fewer sources than ``parts``;
    ValueError for a method that learns nothing.
    """
    if (fit_on := method.fit) is None:
        raise ValueError(f"the method {method.name} learns nothing")
    refuse_trained_on(aligned)
    info = aligned.infos[0]
    options = Options(len(aligned.names), len(info.classes), check_metric(metric, info.task), seed, keys)
    labels = mark_labels(aligned.labels, options.classes).view(bool)
    rows = np.flatnonzero(aligned.valid.all(axis=0) & labels.any(axis=1))
    if not rows.size:
        raise UserError(f"no clip of {info.split!r} has both labels and scores of all members: nothing to fit on")
    source = np.unique([aligned.source[int(row)] for row in rows], return_inverse=True)[1]

    def learn_from(some: NDArray[np.int64]) -> Learned:
        some = _at_most(FIT_ROWS, some, seed)
        taken = rows[some]
        return fit_on(Examples([scores[taken] for scores in aligned.scores], labels[taken], source[some]), options)

    held_out = np.empty((rows.size, options.classes), np.float32)
    alike = np.empty_like(held_out)
    part_learned = []
    for train, test in _parts(source, parts, info.split):
        learned = learn_from(train)
        own = [scores[rows[test]] for scores in aligned.scores]
        valid = np.ones((options.members, test.size), bool)
        held_out[test] = method.apply(own, valid, learned)
        alike[test] = weighted_mean(own, valid, start_equal(options))
        part_learned.append(learned)
    return Fitted(
        metric=options.metric,
        learned=learn_from(np.arange(rows.size)),
        rows=min(rows.size, FIT_ROWS),
        cross_validated=evaluate(held_out, labels[rows], info.task),
        equal=evaluate(alike, labels[rows], info.task),
        part_learned=tuple(part_learned),
    )


def refuse_trained_on(aligned: Aligned) -> None:
    """Raise a UserError when any member was trained on the split it is to be fitted or judged on."""
    for name, info in zip(aligned.names, aligned.infos, strict=True):
        if info.split in info.trained_on:
            raise UserError(
                f"member {name!r} was trained on {info.split!r}: on it, it looks better than it is",
                fix="fit on a split that no member has seen (--fit), or use a mean with --fit none",
            )


def _at_most(most: int, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """``rows``, or ``most`` of them, in order."""
    return rows if rows.size <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _parts(source: NDArray[np.int64], parts: int, split: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The rows to fit on and those to score, for each of ``parts`` that share no source."""
    from sklearn.model_selection import GroupKFold

    count = int(source.max()) + 1
    if count < parts:
        raise UserError(
            f"the labelled clips of {split!r} come from {count} sources: they cannot be split into {parts} parts",
            fix="say fewer --parts (at least 2), or use a mean, which needs no fitting",
        )
    yield from GroupKFold(n_splits=parts).split(source, groups=source)
