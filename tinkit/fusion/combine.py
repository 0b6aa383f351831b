"""One table of scores from those of several members, a few thousand clips at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.files.large import large_array
from tinkit.fusion.arrays import Apply, Learned
from tinkit.fusion.members import Aligned
from tinkit.fusion.ways.mean import equal_weights, weighted_mean
from tinkit.scores import Kind, ScoreInfo, ScoreTable

BLOCK = 1 << 17  # score values fused at a time: what a sum of them needs fits the processor's cache


@dataclass(frozen=True, eq=False)
class Combination:
    """A way to fuse with all that it has ``learned``, for any split of the same members.

    ``gives`` is the kind of the result; None: the members'.
    """

    apply: Apply
    learned: Learned
    gives: Kind | None = None

    def is_same(self, other: Combination) -> bool:
        """Whether both fuse alike: the same function with the same arrays."""
        names = set(self.learned) | set(other.learned)
        return (self.apply, self.gives) == (other.apply, other.gives) and all(
            name in self.learned and name in other.learned and np.array_equal(self.learned[name], other.learned[name])
            for name in names
        )

    def table(self, aligned: Aligned, *, name: str = "") -> ScoreTable:
        """The fused scores; a clip that all members miss stays without. ``name`` becomes the ``run`` of the result."""
        info = _joint_info(aligned, self.gives or aligned.kind, name)
        rows, width = len(aligned.ids), len(info.classes)
        scores = large_array((rows, width))
        present = np.asarray(aligned.valid.any(axis=0))
        step = max(1, BLOCK // width)
        for start in range(0, rows, step):
            part = slice(start, start + step)
            has = present[part]
            fused = self.apply([own[part] for own in aligned.scores], aligned.valid[:, part], self.learned)
            scores[part] = fused if has.all() else np.where(has[:, None], fused, np.nan)
        return ScoreTable(info, aligned.ids, scores, present, aligned.labels, aligned.source)


def weights_of(learned: Learned) -> list[float] | None:
    """One weight a member, (M,); None where a member has no single weight."""
    weights = learned.get("weights")
    return weights.tolist() if weights is not None and weights.ndim == 1 else None


def equal_mean(count: int) -> Combination:
    """The plain mean of ``count`` members."""
    return Combination(weighted_mean, {"weights": equal_weights(count)})


def combine(aligned: Aligned, weights: NDArray[np.float64] | None = None, *, name: str = "") -> ScoreTable:
    """The mean of the members' scores with ``weights`` (M,), None meaning equal ones; its kind is theirs.

    Where members miss a clip, see :func:`~tinkit.fusion.ways.mean.weighted_mean`. Raises ValueError for weights that
    are negative or do not sum to 1.
    """
    if weights is None:
        return equal_mean(len(aligned.names)).table(aligned, name=name)
    chosen = np.asarray(weights, np.float64)
    if chosen.shape != (len(aligned.names),) or (chosen < 0).any() or abs(chosen.sum() - 1) > 1e-6:
        raise ValueError(f"weights must be {len(aligned.names)} numbers from 0 up that sum to 1, got {chosen}")
    return Combination(weighted_mean, {"weights": chosen}).table(aligned, name=name)


def _joint_info(aligned: Aligned, kind: Kind, name: str) -> ScoreInfo:
    """The members' common facts; where they differ, ``mixed``."""
    first = aligned.infos[0]
    return ScoreInfo(
        kind=kind,
        task=first.task,
        classes=first.classes,
        dataset=first.dataset,
        dataset_version=first.dataset_version,
        split=first.split,
        views=_common([info.views for info in aligned.infos]),
        average=_common([info.average for info in aligned.infos]),
        weights=_common([info.weights for info in aligned.infos]),
        trained_on=tuple(sorted({split for info in aligned.infos for split in info.trained_on})),
        run=name,
        trial=any(info.trial for info in aligned.infos),
    )


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else "mixed"
