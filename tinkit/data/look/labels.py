"""Which classes occur together in a clip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from scipy import sparse

from tinkit.data.manifest.manifest import Manifest


class Pair(NamedTuple):
    """Two classes, by index, and how many clips have both."""

    first: int
    second: int
    clips: int


def most_common_pairs(manifest: Manifest, most: int) -> list[Pair]:
    """The ``most`` pairs of classes that share the most clips, the most common first; of as many, by index.

    Clips of unknown labels are not counted. ``first`` is the smaller index.
    """
    labels = manifest.table.column("labels").drop_null()
    flat = pc.list_flatten(labels).to_numpy()
    ends = np.cumsum(pc.list_value_length(labels).to_numpy(), dtype=np.int64)
    shape = len(labels), len(manifest.classes)
    clips = sparse.csr_array((np.ones(len(flat), np.int64), flat, np.concatenate(([0], ends))), shape=shape)
    together = sparse.triu(clips.T @ clips, k=1).tocoo()
    order = np.lexsort((together.col, together.row, -together.data))[:most]
    found = zip(together.row[order], together.col[order], together.data[order], strict=True)
    return [Pair(int(first), int(second), int(count)) for first, second, count in found]
