"""All that one labelled score file tells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.errors import UserError
from tinkit.inspection.calibration import Calibration, calibration
from tinkit.inspection.classes import ClassResult, class_results, class_values
from tinkit.inspection.clips import ClipResult, clip_results, order_of_clips
from tinkit.inspection.confusion import confusion_counts
from tinkit.metrics import Metrics, evaluate
from tinkit.scores import ScoreInfo, ScoreTable, label_matrix, take_rows
from tinkit.scores.kinds import rows_as
from tinkit.scores.table import in_chunks


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found in a score file.

    ``classes`` has a row a class in the file's order; ``confusion`` (C, C) as in
    :func:`~tinkit.inspection.confusion.confusion_counts`; ``worst`` and ``best`` the clips most wrongly and most
    rightly scored, the extreme first; ``calibration`` None for ranks, not being probabilities; ``broken`` the ids of
    clips without scores, ``unlabelled`` how many clips have no label.
    """

    info: ScoreInfo
    metrics: Metrics
    classes: list[ClassResult]
    confusion: NDArray[np.int64]
    worst: list[ClipResult]
    best: list[ClipResult]
    calibration: Calibration | None
    broken: list[str]
    unlabelled: int

    @property
    def optimistic(self) -> bool:
        """Whether the scores are of a split that their weights, or the fusion's, have seen."""
        return self.info.split in self.info.trained_on


def inspect_scores(table: ScoreTable, *, top: int = 10) -> Inspection:
    """Inspect ``table``, whose scores are finite, with ``top`` clips at each end.

    Probabilities of logits are shown for clips. Raises :class:`~tinkit.errors.UserError` where no clip with scores
    has a label.
    """
    info, every = table.info, label_matrix(table)
    broken = [table.ids[int(row)] for row in np.flatnonzero(~table.valid)]
    metrics = evaluate(table.scores, every, info.task, valid=table.valid)
    rows = np.flatnonzero(table.valid)
    labelled = np.flatnonzero(every[rows].any(axis=1))
    if not labelled.size:
        raise UserError(
            f"no clip of the split {info.split!r} that has scores has a label",
            fix="inspect the scores of a labelled split, or give labels with --answers",
        )
    # Clips without a label are negatives of every class, as in class_map.
    table, marks = (table, every) if len(rows) == len(table) else (take_rows(table, rows), every[rows])
    counts = confusion_counts(table.scores, marks)
    values = class_values(table.scores, marks, info.task, counts)
    order, value, margin = order_of_clips(table.scores, marks)
    names = info.classes

    def shown(picked: NDArray[np.int64]) -> list[ClipResult]:
        scores = rows_as(table, picked, "ranks" if info.kind == "ranks" else "probabilities")
        ids = [table.ids[int(row)] for row in picked]
        found = clip_results(ids, scores, marks[picked], names, (value[picked], margin[picked]))
        return [dataclasses.replace(clip, row=int(rows[row])) for clip, row in zip(found, picked, strict=True)]

    return Inspection(
        info=info,
        metrics=metrics,
        classes=class_results(names, marks, values, counts),
        confusion=counts,
        worst=shown(order[:top]),
        best=shown(order[::-1][:top]),
        calibration=None if info.kind == "ranks" else calibration(_probabilities(table, marks, labelled), info.task),
        broken=broken,
        unlabelled=metrics.counts["without_labels"],
    )


def _probabilities(
    table: ScoreTable, marks: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.uint8]]]:
    for part in in_chunks(rows):
        yield rows_as(table, part, "probabilities"), marks[part]
