"""The challenge owner's losses of Multi-Moments in Time: every class that a clip has, ranked before every other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NOTHING = -1e30  # the logarithm of a sum without terms: far below any logit, and finite, so that its gradient is 0


def lsep(logits: Tensor, target: Tensor) -> Tensor:
    """The log-sum-exp pairwise loss of each clip, (B,) float32 (Li et al., CVPR 2017, arXiv 1704.03135).

    ``log(1 + sum over u in Y, v not in Y of exp(f_v - f_u))``, with the scores f (``logits`` (B, C) float32) and the
    clip's classes Y. A ``target`` (B, C) between 0 and 1, soft or mixed, counts class c as a member of Y by y_c and as
    another by 1 - y_c: the pair (u, v) weighs ``y_u (1 - y_v)``. A clip without a class, or with all of them, has no
    pair and a loss of 0. The double sum is a product of two sums, so that memory grows with C and not with its square.

    The owner's own code (moments_models) takes one logarithm of the pairs of all clips of a batch, by which the loss
    would depend on how the batch is cut into micro-batches and processes; this is the paper's, a clip at a time.
    """
    return functional.softplus(_log_sum(-logits, target) + _log_sum(logits, 1 - target))


def wlsep(logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted log-sum-exp pairwise loss of each clip, (B,) float32 (Monfort et al., arXiv 1911.00232).

    ``1 / |Y| * sum over u in Y of w_u log(1 + sum over v not in Y of exp(f_v - f_u))``; ``weights`` (C,) are the w_u,
    or None for 1. Arguments and soft targets otherwise as of :func:`lsep`: u weighs y_u, v weighs 1 - y_v, and |Y| is
    the sum of y. A clip without a class has a loss of 0.

    The owner's own code (moments_models) divides by the number of classes of all clips of a batch, by which a clip of
    five counts five times as much as a clip of one; here each clip counts alike, as in every loss of tinkit.
    """
    each = functional.softplus(_log_sum(logits, 1 - target)[:, None] - logits)
    share = target if weights is None else target * weights
    total = target.sum(1)
    # 1 in the place of 0 for a clip without a class, whose sum is 0 too
    return (share * each).sum(1) / torch.where(total > 0, total, 1.0)


def _log_sum(scores: Tensor, amounts: Tensor) -> Tensor:
    """``log(sum over c of amounts_c exp(scores_c))`` of each row, (B,); where no amount is positive, a huge negative.

    Neither value nor gradient is ever NaN or infinite for finite scores.
    """
    some = amounts > 0
    logs = torch.where(some, scores + torch.where(some, amounts, 1.0).log(), _NOTHING)
    return logs.logsumexp(1)
