"""The likelihood of clips' labels: it tells ways to fuse apart where their metric, of hits and misses, cannot.

A hit says one bit of a clip, and between two good ways most clips are hit or missed by both: of 1,000 clips, the
difference of two accuracies errs by a point. The logarithmic score is proper (Gneiting and Raftery 2007), and errs a
third as much beside what ways differ by. Each way has a temperature first (Guo et al. 2017), one number, so that how
sure a way is of itself does not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Matrix
from tinkit.fusion.choosing.estimate import BySource, mean_by_source
from tinkit.fusion.ways.spread import spread_of
from tinkit.scores import Kind
from tinkit.scores.kinds import CLIP

_CLIPS = 2000  # that the temperature is fitted on, lying evenly over all
_SLOPES = (-5.0, 5.0)  # in which the logarithm of one over the temperature lies, of scores that spread by 1

Vector = NDArray[np.float64]


def likelihood_by_source(scores: Matrix, labels: NDArray[np.bool_], source: NDArray[np.int64], kind: Kind) -> BySource:
    """The mean log-likelihood of ``labels`` (n, C), each row with one at least, by ``source`` (n,) from 0, in nats.

    ``scores`` (n, C) are of ``kind``; probabilities become logits, of one label a clip as of several.
    """
    from scipy.optimize import minimize_scalar

    logits = scores.astype(np.float64)
    if kind == "probabilities":
        kept = np.clip(logits, CLIP, 1 - CLIP)
        logits = np.log(kept) if (labels.sum(axis=1) == 1).all() else np.log(kept / (1 - kept))
    logits /= spread_of(logits.astype(np.float32))
    some = slice(None, None, max(1, len(logits) // _CLIPS))

    def unlikely(slope: Any) -> float:
        return -float(log_likelihood(np.exp(slope) * logits[some], labels[some]).mean())

    slope = minimize_scalar(unlikely, bounds=_SLOPES, method="bounded").x
    return mean_by_source(log_likelihood(np.exp(slope) * logits, labels), source)


def log_likelihood(logits: Vector, labels: NDArray[np.bool_]) -> Vector:
    """Of each clip the mean over its labels of the log of the softmax of one among the classes that it lacks, (n,).

    Of clips with one label that is their log-likelihood; what the ways named ``stack`` maximise
    (:func:`tinkit.fusion.ways.losses.listwise`).
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    lacking = np.where(labels, 0.0, powers).sum(axis=1)
    clips, classes = np.nonzero(labels)
    own = np.maximum(powers[clips, classes], np.finfo(np.float64).tiny)
    shares = np.log(own) - np.log(own + lacking[clips])
    return np.bincount(clips, shares, minlength=len(labels)) / labels.sum(axis=1)
