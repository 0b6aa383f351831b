"""Smooth losses whose gradients a fit follows, of scores that lie class by class, (C, n)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import MetricName

Scores = NDArray[np.float32]
Marks = NDArray[np.bool_]
Loss = Callable[[Scores], tuple[float, Scores]]
"""The sum over the clips and its gradient, (C, n), which is written over the scores that it is given."""

_TINY = np.float32(1e-30)


def loss_for(metric: MetricName, labels: Marks) -> Loss:
    """The loss that stands for ``metric`` on ``labels`` (C, n): what ranks clips as a whole looks at every pair."""
    return pairwise(labels) if metric in ("class_map", "micro_map") else listwise(labels)


def listwise(labels: Marks) -> Loss:
    """Of a clip, the mean over its positives c of ``-log(exp z_c / (exp z_c + sum of exp z over its negatives))``.

    Of clips with one label this is the cross-entropy of the softmax. With several it is the softmax of one positive
    among the negatives, as in Cao et al. 2007 (ListNet) and Bruch et al. 2019: it rises with the average precision of
    the clip's ranking. A clip without a label counts nothing.
    """
    # Clip by clip, so that the positives of a clip lie side by side.
    clips, classes = np.nonzero(labels.T)
    per_clip = np.bincount(clips, minlength=labels.shape[1])
    share = (1 / per_clip[clips]).astype(np.float32)
    has = (per_clip > 0).astype(np.float32)

    def loss(scores: Scores) -> tuple[float, Scores]:
        scores -= scores.max(axis=0)
        own = scores[classes, clips]
        powers = np.exp(scores, out=scores)
        wanted = powers[classes, clips]
        powers[classes, clips] = 0
        negatives = powers.sum(axis=0) * has
        whole = wanted + negatives[clips] + _TINY
        value = float(((np.log(whole) - own) * share).sum(dtype=np.float64))
        powers *= np.bincount(clips, share / whole, minlength=len(has)).astype(np.float32)
        powers[classes, clips] = (wanted / whole - 1) * share
        return value, powers

    return loss


def pairwise(labels: Marks) -> Loss:
    """The binary cross-entropy of ``sigmoid(z)``, summed over a clip's classes."""
    signs = np.where(labels, np.float32(-1), np.float32(1))

    def loss(scores: Scores) -> tuple[float, Scores]:
        margins = signs * scores
        value = float(np.logaddexp(np.float32(0), margins).sum(dtype=np.float64))
        np.clip(margins, -60, 60, out=margins)
        return value, np.divide(signs, 1 + np.exp(-margins), out=scores)

    return loss
