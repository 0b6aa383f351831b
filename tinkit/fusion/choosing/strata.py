"""A draw of clips in which every class has its share: proportional allocation (Cochran 1977, section 5.5).

A clip's stratum is the rarest of its labels. The clips lie by stratum, in random order within each, and every so many
of them is taken: of each stratum that is its share of the draw, rounded up or down.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def rarest_labels(labels: pa.Array, width: int) -> NDArray[np.int64]:
    """Of each of n lists of class indices, none of them empty, the class below ``width`` that the fewest clips have."""
    lengths = pc.list_value_length(labels).to_numpy(zero_copy_only=False)
    flat = labels.flatten().to_numpy(zero_copy_only=False)
    commonness = np.empty(width, np.int64)  # places from the rarest class to the commonest
    commonness[order := np.argsort(np.bincount(flat, minlength=width), kind="stable")] = np.arange(width)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return order[np.minimum.reduceat(commonness[flat], starts)]


def drawn(size: int, strata: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """``size`` of the indices of ``strata`` (n,), in order; of each stratum its share, rounded up or down."""
    random = np.random.default_rng(seed)
    mixed = random.permutation(strata.size)
    mixed = mixed[np.argsort(strata[mixed], kind="stable")]
    places = ((np.arange(size) + random.random()) * (strata.size / size)).astype(np.int64)
    return np.sort(mixed[np.minimum(places, strata.size - 1)])
