"""What a way to fuse is made of: arrays and a few options in, arrays out; no files, no ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import METRICS, MetricName, Task

Matrix = NDArray[np.float32]
Learned = Mapping[str, NDArray[np.float64]]
"""What a method has learned, or was told: arrays by name. ``weights`` (M,), where there are any, are one a member."""


@dataclass(frozen=True)
class Options:
    """What a fusion says to its method: how many members and classes there are, and what to fit for.

    ``keys`` are the values of the method's own keys of an ensemble's toml. ``spreads`` (M,) are how far the members'
    scores spread (:func:`tinkit.fusion.ways.spread.spread_of`); None where that is not to matter.
    ``begun`` is what the method's ``begins_with`` learned from the same clips, where that is known.
    """

    members: int
    classes: int
    metric: MetricName
    seed: int = 0
    keys: Mapping[str, Any] = field(default_factory=dict)
    spreads: NDArray[np.float64] | None = field(default=None, compare=False)
    begun: Learned | None = field(default=None, compare=False)

    @property
    def task(self) -> Task:
        """The task of the metric."""
        # A leaderboard's metric may be of any task; those that are fitted for have one.
        return "multi-label" if METRICS[self.metric].task == "multi-label" else "single-label"


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled clips that every member has scores for.

    ``scores``: of each member (n, C) float32, finite; ``labels`` (n, C) of bool; ``source`` (n,) numbers the videos
    that the clips were cut from.
    """

    scores: Sequence[Matrix]
    labels: NDArray[np.bool_]
    source: NDArray[np.int64]


Start = Callable[[Options], Learned]
Fit = Callable[[Examples, Options], Learned]
Apply = Callable[[Sequence[Matrix], NDArray[np.bool_], Learned], NDArray[np.floating[Any]]]
