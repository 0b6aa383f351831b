"""What a metric is worth on other clips like these: by source video, because clips of one source are alike.

A metric that is a mean over clips is known of every source. Of one that ranks all clips together, the sources are
dealt into blocks, and each has the pseudo-value that a jackknife gives it (Tukey 1958): the mean of those is the
metric, and their spread that of its error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Matrix
from tinkit.metrics import METRICS, MetricName, sample_ap

DRAWS = 1000  # bootstrap samples of the sources
_BLOCKS = 20  # of sources, for a metric that ranks all clips together
_AT_ONCE = 1 << 22  # counts of sources drawn at a time

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BySource:
    """A metric as ``totals.sum() / counts.sum()`` over sources, or blocks of them; both (S,)."""

    totals: Vector
    counts: Vector

    @property
    def value(self) -> float:
        """The metric over all."""
        return float(self.totals.sum() / self.counts.sum())


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95% interval."""

    value: float
    low: float
    high: float


def by_source(metric: MetricName, scores: Matrix, labels: NDArray[np.bool_], source: NDArray[np.int64]) -> BySource:
    """``metric`` of ``scores`` (n, C) on ``labels`` (n, C), each row with one at least, by ``source`` (n,) from 0."""
    if (per_clip := _per_clip(metric, scores, labels)) is not None:
        return mean_by_source(per_clip, source)
    measure = METRICS[metric]
    blocks = source % min(_BLOCKS, int(source.max()) + 1)
    number = int(blocks.max()) + 1
    whole = measure.on(labels)(scores)
    if number == 1:
        return BySource(np.array([whole]), np.ones(1))
    without = [measure.on(labels[blocks != block])(scores[blocks != block]) for block in range(number)]
    return BySource(number * whole - (number - 1) * np.array(without), np.ones(number))


def mean_by_source(per_clip: Vector, source: NDArray[np.int64]) -> BySource:
    """The mean of ``per_clip`` (n,) over clips, by ``source`` (n,) from 0."""
    counts = np.bincount(source).astype(np.float64)
    return BySource(np.bincount(source, per_clip).astype(np.float64), counts)


def standard_error(first: BySource, second: BySource, draws: Vector | None = None) -> float:
    """Of the difference of two metrics over the same sources; ``draws`` (S,) says how often each source is there."""
    times = np.ones_like(first.counts) if draws is None else draws
    size = float(times @ first.counts)
    apart = first.totals - second.totals
    centred = apart - float(times @ apart) / size * first.counts
    return float(np.sqrt(times @ centred**2)) / size


def difference_interval(first: BySource, second: BySource, seed: int, shift: float = 0.0) -> Interval:
    """``first`` less ``second``, plus ``shift``, and the interval by a bootstrap of the sources (percentiles)."""
    drawn = []
    for draws in source_draws(len(first.counts), DRAWS, seed):
        drawn.append((draws @ (first.totals - second.totals)) / (draws @ first.counts))
    low, high = np.percentile(np.concatenate(drawn) + shift, [2.5, 97.5])
    return Interval(first.value - second.value + shift, float(low), float(high))


def source_draws(sources: int, samples: int, seed: int) -> Sequence[Vector]:
    """How often each source is in each bootstrap sample, (at most ``samples``, S) at a time, ``samples`` in all."""
    random = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // sources)
    chances = np.full(sources, 1 / sources)
    return [
        random.multinomial(sources, chances, size=min(step, samples - start)).astype(np.float64)
        for start in range(0, samples, step)
    ]


def is_mean_over_clips(metric: MetricName) -> bool:
    """Whether a clip has a value of ``metric``."""
    return metric in ("sample_map", "top1", "top5")


def _per_clip(metric: MetricName, scores: Matrix, labels: NDArray[np.bool_]) -> Vector | None:
    """The metric of every clip, (n,), where it is a mean over clips."""
    match metric:
        case "sample_map":
            return sample_ap(scores, labels)
        case "top1" | "top5":
            return _hits(scores, labels, METRICS[metric].places)
        case _:
            return None


def _hits(scores: Matrix, labels: NDArray[np.bool_], places: int) -> Vector:
    """Whether a clip's class is among its ``places`` highest scores, as ``tinkit.metrics.top_k_accuracy`` has it."""
    true = labels.argmax(axis=1)[:, None]
    own = np.take_along_axis(scores, true, axis=1)
    ahead = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < true))
    return (np.count_nonzero(ahead, axis=1) < places).astype(np.float64)
