"""Scores out of fold: each clip scored with what was learned from clips of other sources."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.fusion.arrays import Examples, Learned, Matrix, Options
from tinkit.fusion.choosing.strata import drawn, rarest_labels
from tinkit.fusion.members import Aligned
from tinkit.fusion.methods import FusionMethod
from tinkit.fusion.scales import spreads_of
from tinkit.metrics import MetricName, check_metric
from tinkit.scores import mark_labels
from tinkit.scores.table import COLUMNS, ArrowColumn, as_arrow

FIT_ROWS = 20_000  # clips that a method is fitted on; of more, a stratified draw of this size
_PARTS = 10
_FEW_CLIPS = 5000


class OutOfTimeError(Exception):
    """Fitting a method in all parts would take longer than it may."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled clips that every member has scores for: ``rows`` of ``aligned``, their labels and sources from 0.

    There are ``known`` such clips in all; ``rows`` are a draw of them where they are many.
    """

    aligned: Aligned
    rows: NDArray[np.int64]
    labels: NDArray[np.bool_]
    source: NDArray[np.int64]
    known: int

    def examples(self, some: NDArray[np.int64]) -> Examples:
        """Those of the indices ``some``."""
        taken = self.rows[some]
        return Examples([own[taken] for own in self.aligned.scores], self.labels[some], self.source[some])

    def scores(self, some: NDArray[np.int64]) -> list[Matrix]:
        """Of each member, those of the indices ``some``."""
        return [own[self.rows[some]] for own in self.aligned.scores]


def labelled(aligned: Aligned, seed: int, most: int | None = None) -> Labelled:
    """All clips with labels and scores of all members, or ``most`` of them (None: :data:`FIT_ROWS`).

    The draw is stratified: see :func:`tinkit.fusion.choosing.strata.drawn`. Raises a UserError where there is no such
    clip.
    """
    lists = as_arrow(aligned.labels, COLUMNS["labels"])
    has_labels = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False) > 0
    known = np.flatnonzero(aligned.valid.all(axis=0) & has_labels)
    if not known.size:
        split = aligned.infos[0].split
        raise UserError(f"no clip of {split!r} has both labels and scores of all members: nothing to fit on")
    width = len(aligned.infos[0].classes)
    most = FIT_ROWS if most is None else most
    rows = known
    if known.size > most:
        rows = known[drawn(most, rarest_labels(lists.take(pa.array(known)), width), seed)]
    marks = mark_labels(ArrowColumn(lists.take(pa.array(rows))), width).view(bool)
    source = np.unique([aligned.source[int(row)] for row in rows], return_inverse=True)[1]
    return Labelled(aligned, rows, marks, source, known.size)


def options_for(aligned: Aligned, metric: MetricName, seed: int, keys: Mapping[str, Any]) -> Options:
    """What a method is told of ``aligned``; the spreads are left out where ``keys`` say ``scale = none``."""
    info = aligned.infos[0]
    spreads = spreads_of(aligned) if keys.get("scale") != "none" and aligned.kind == "logits" else None
    width = len(info.classes)
    return Options(len(aligned.names), width, check_metric(metric, info.task, width), seed, keys, spreads)


def parts_of(source: NDArray[np.int64], parts: int | None, split: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The rows to fit on and those to score, for each of :func:`parts_for` that share no source."""
    from sklearn.model_selection import GroupKFold

    count = int(source.max()) + 1
    parts = parts_for(source, parts)
    if count < parts:
        raise UserError(
            f"the labelled clips of {split!r} come from {count} sources: they cannot be split into {parts} parts",
            fix="say fewer --parts (at least 2), or use a mean, which needs no fitting",
        )
    yield from GroupKFold(n_splits=parts).split(source, groups=source)


def parts_for(source: NDArray[np.int64], parts: int | None) -> int:
    """``parts``, or where that is left open as many as few clips need for an estimate that is not too low.

    What is fitted on four fifths of 1,000 clips is worth half a point less than what is fitted on all.
    """
    if parts is not None:
        return parts
    sources = int(source.max()) + 1
    return min(_PARTS if source.size <= _FEW_CLIPS else _PARTS // 2, max(2, sources))


def learn(
    method: FusionMethod, given: Labelled, some: NDArray[np.int64], options: Options, begun: Learned | None = None
) -> Learned:
    """What ``method`` learns from the clips ``some``.

    ``begun`` is what the row that it begins with learned from the same, where that is known.
    """
    if method.fit is None:
        return method.start(options)
    return method.fit(given.examples(some), dataclasses.replace(options, begun=begun))


def out_of_fold(
    method: FusionMethod,
    given: Labelled,
    options: Options,
    parts: int | None,
    *,
    begun: Sequence[Learned] | None = None,
    until: float | None = None,
) -> tuple[Matrix, tuple[Learned, ...]]:
    """The fused scores (n, C) of all clips, each by what the parts without its source taught, and that, a part each.

    A method that learns nothing is applied as it is. Raises :class:`OutOfTimeError` where, by what the first part took,
    the fits would not end before ``until`` (of :func:`time.monotonic`); as :func:`parts_of`. ``begun`` as in
    :func:`learn`, one a part.
    """
    held_out = np.empty((given.rows.size, options.classes), np.float32)
    part_learned = []
    count = parts_for(given.source, parts)
    started = time.monotonic()
    for number, (train, test) in enumerate(parts_of(given.source, parts, given.aligned.infos[0].split)):
        learned = learn(method, given, train, options, begun[number] if begun else None)
        held_out[test] = method.apply(given.scores(test), np.ones((options.members, test.size), bool), learned)
        part_learned.append(learned)
        if number == 0 and until is not None and started + (time.monotonic() - started) * (count + 1) > until:
            raise OutOfTimeError
    return held_out, tuple(part_learned)
