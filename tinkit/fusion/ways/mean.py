"""The weighted mean of the members' scores; equal weights make it the plain mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.arrays import Learned, Options

Float = TypeVar("Float", bound=np.floating[Any])


def equal_weights(count: int) -> NDArray[np.float64]:
    """``count`` weights that are alike and sum to 1."""
    return np.full(count, 1 / count)


def start_equal(options: Options) -> Learned:
    """Equal ``weights``, of the members as they are."""
    return {"weights": equal_weights(options.members)}


def start_alike(options: Options) -> Learned:
    """``weights`` of the members as they are that give each the same part: one over its spread, summing to 1."""
    return {"weights": _without_scale(equal_weights(options.members), options)}


def start_by_hand(options: Options) -> Learned:
    """``weights`` in proportion to ``member_weights`` (M,) among the keys, over the members' spreads, summing to 1."""
    given = options.keys.get("member_weights") or equal_weights(options.members)
    return {"weights": _without_scale(np.asarray(given, np.float64), options)}


def _without_scale(weights: NDArray[np.float64], options: Options) -> NDArray[np.float64]:
    if options.spreads is not None and len(set(options.spreads.tolist())) > 1:
        weights = weights / options.spreads
    return weights / weights.sum()


def weighted_mean(scores: Sequence[NDArray[Float]], valid: NDArray[np.bool_], learned: Learned) -> NDArray[Float]:
    """The mean of M members' ``scores``, (n, C) each, with the learned ``weights`` (M,), none of them negative.

    It is summed in the precision of the scores: in float32, with two roundings a member at most.

    ``valid`` (M, n): which members have scores for which clips. Where members miss a clip the weights of the others are
    scaled to sum to 1; if those are all 0, the others count equally. Rows that all miss are 0.
    """
    weights = learned["weights"]
    if valid.all():
        # One member after the other into one buffer: an array of weights a clip, and a product for each, take twice
        # the time. The weights are summed in the order of the members, as those of a clip are below.
        product, (first, *others) = np.empty_like(scores[0]), (weights / sum(weights.tolist())).tolist()
        total = np.multiply(scores[0], first)
        for own, weight in zip(scores[1:], others, strict=True):
            if weight:
                total += np.multiply(own, weight, out=product)
        return total
    total = np.zeros_like(scores[0])
    share = np.where(valid, weights[:, None], 0.0)
    share = np.where(share.sum(axis=0) > 0, share, valid)  # only members without weight have it: equally
    present = valid.any(axis=0)
    share[:, present] /= share[:, present].sum(axis=0)
    for own, weight, has in zip(scores, share.astype(total.dtype), valid, strict=True):
        if weight.any():
            total += np.where(has, weight, 0)[:, None] * (own if has.all() else np.nan_to_num(own))
    return total
