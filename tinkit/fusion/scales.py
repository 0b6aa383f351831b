"""The members' scales: what their logits spread, and what brings them to one spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.fusion.members import Aligned, Member
from tinkit.fusion.ways.spread import sampled_spread

SPREAD = 2.0  # of logits that become probabilities: as networks that are neither timid nor overconfident have it


def spreads_of(aligned: Aligned) -> NDArray[np.float64]:
    """The spread of each member's scores, (M,), on clips that lie evenly over the split."""
    return aligned.spreads


def to_one_spread(members: Sequence[Member]) -> NDArray[np.float64]:
    """What to multiply each member's logits with, (M,), so that all spread by :data:`SPREAD`.

    A number that no member decides: were it their mean or median, one member's scale would move what all others say. 1
    for members that are not logits, whose numbers have a meaning of their own, and for a member that is alone.
    """
    if len(members) == 1:
        return np.ones(1)
    return np.array(
        [SPREAD / sampled_spread(one.table.scores) if one.table.info.kind == "logits" else 1.0 for one in members],
        np.float64,
    )
