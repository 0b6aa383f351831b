"""One table of scores from those of several members, by a weighted mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.members import Aligned
from tinkit.scores import ScoreInfo, ScoreTable

_BLOCK = 1 << 20  # score values summed at a time


def equal_weights(count: int) -> NDArray[np.float64]:
    """``count`` weights that are alike and sum to 1."""
    return np.full(count, 1 / count)


def combine(aligned: Aligned, weights: NDArray[np.float64] | None = None, *, name: str = "") -> ScoreTable:
    """The mean of the members' scores with ``weights`` (M,), None meaning equal ones; its kind is theirs.

    Where members miss a clip the weights of the others are scaled to sum to 1; if those are all 0, the others count
    equally. A clip that all miss stays without scores. ``name`` becomes the ``run`` of the result.
    Raises ValueError for weights that are negative or do not sum to 1.
    """
    chosen = equal_weights(len(aligned.names)) if weights is None else np.asarray(weights, np.float64)
    if chosen.shape != (len(aligned.names),) or (chosen < 0).any() or abs(chosen.sum() - 1) > 1e-6:
        raise ValueError(f"weights must be {len(aligned.names)} numbers from 0 up that sum to 1, got {chosen}")
    info = _joint_info(aligned, name)
    rows, width = len(aligned.ids), len(info.classes)
    scores = np.full((rows, width), np.nan, np.float32)
    step = max(1, _BLOCK // width)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        valid = aligned.valid[:, part]
        share = np.where(valid, chosen[:, None], 0.0)
        share = np.where(share.sum(axis=0) > 0, share, valid)  # only members without weight have it: equally
        present = valid.any(axis=0)
        share[:, present] /= share[:, present].sum(axis=0)
        total = np.zeros((valid.shape[1], width))
        for own, weight, has in zip(aligned.scores, share, valid, strict=True):
            if weight.any():
                total += np.where(has, weight, 0)[:, None] * (own[part] if has.all() else np.nan_to_num(own[part]))
        scores[part][present] = total[present]
    valid_rows = np.asarray(aligned.valid.any(axis=0))
    return ScoreTable(info, aligned.ids, scores, valid_rows, aligned.labels, aligned.source)


def _joint_info(aligned: Aligned, name: str) -> ScoreInfo:
    """The members' common facts; where they differ, ``mixed``."""
    first = aligned.infos[0]
    return ScoreInfo(
        kind=aligned.kind,
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
