"""Every class by itself: how well it is found, and what it is confused with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import Task, class_ap


@dataclass(frozen=True)
class ClassResult:
    """One class.

    ``clips`` have it; ``value`` is its average precision over the split's clips (multi-label) or its recall
    (single-label), from 0 to 1, None without clips; ``confused_with`` the class that most often ranks above it where it
    should not, in ``confused`` of its clips.
    """

    index: int
    name: str
    clips: int
    value: float | None
    confused_with: str | None
    confused: int


def value_name(task: Task) -> str:
    """What ``ClassResult.value`` is called: ``AP`` or ``recall``."""
    return "AP" if task == "multi-label" else "recall"


def class_values(
    scores: NDArray[np.floating], marks: NDArray[np.uint8], task: Task, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The value of every class, (C,), NaN for one without clips; ``counts`` are those of the confusion."""
    if task == "multi-label":
        return class_ap(scores, marks)
    support = marks.sum(axis=0, dtype=np.int64)
    return np.divide(counts.diagonal(), support, out=np.full(len(support), np.nan), where=support > 0)


def class_results(
    names: Sequence[str], marks: NDArray[np.uint8], values: NDArray[np.float64], counts: NDArray[np.int64]
) -> list[ClassResult]:
    """A row a class, in the order of ``names``; arrays as in :func:`class_values`."""
    support = marks.sum(axis=0, dtype=np.int64)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rival = wrong.argmax(axis=1)
    times = wrong[np.arange(len(names)), rival]
    return [
        ClassResult(
            index=index,
            name=name,
            clips=int(support[index]),
            value=None if np.isnan(values[index]) else float(values[index]),
            confused_with=names[rival[index]] if times[index] else None,
            confused=int(times[index]),
        )
        for index, name in enumerate(names)
    ]
