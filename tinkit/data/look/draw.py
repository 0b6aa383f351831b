"""Clips drawn at random, to look at."""

from __future__ import annotations

import numpy as np

from tinkit.data.manifest.manifest import Manifest


def drawn_rows(manifest: Manifest, count: int, seed: int) -> list[int]:
    """``count`` rows of the manifest drawn without replacement, or all if there are fewer; in order."""
    drawn = np.random.default_rng(seed).choice(len(manifest), min(count, len(manifest)), replace=False)
    return sorted(map(int, drawn))
