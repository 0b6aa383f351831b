"""The members' scales: what their logits spread, and what brings them to one spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.members import Aligned, Member
from tinkit.fusion.ways.spread import spread_of
from tinkit.scores.kinds import Matrix

_CLIPS = 20_000  # looked at; of more, every so many


def spreads_of(aligned: Aligned) -> NDArray[np.float64]:
    """The spread of each member's scores, (M,), on clips that lie evenly over the split."""
    return np.array([_spread(own) for own in aligned.scores])


def to_one_spread(members: Sequence[Member]) -> NDArray[np.float64]:
    """What to multiply each member's logits with, (M,), so that all spread as the median one does.

    1 for members that are not logits: their numbers have a meaning of their own.
    """
    logits = [member.table.info.kind == "logits" for member in members]
    spreads = np.array(
        [_spread(member.table.scores) if own else 1.0 for member, own in zip(members, logits, strict=True)]
    )
    if not any(logits):
        return spreads
    return np.where(logits, float(np.median(spreads[logits])) / spreads, 1.0)


def _spread(scores: Matrix) -> float:
    return spread_of(scores[:: max(1, len(scores) // _CLIPS)])
