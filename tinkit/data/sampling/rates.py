"""Sampling by frame rate: the frames a clip shows at ticks of a clock, T of them in a row.

A clip of N frames at R frames a second is seen at F frames a second: tick k, at k / F seconds, shows frame
``floor(k * R / F)``, and ``floor(N * F / R)`` ticks lie in the clip (one at least). A sample is T ticks in a row, which
are drawn or spread as in dense sampling with a stride of one tick. These are the frames of torchvision's ``VideoClips``
(docs/recipes.md names the exceptions).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tinkit.data.sampling.frames import Indices, dense, dense_views

SLOWEST = 1e-3
"""Frames a second below which a rate that a file states is not believed."""


@dataclass(frozen=True)
class Resampling:
    """A clip's ``rate`` and the ``fps`` at which it is seen, both in frames a second."""

    rate: float
    fps: float

    def ticks(self, num_frames: int) -> int:
        """How many ticks lie in a clip of ``num_frames`` frames. Raises ValueError for a clip without frames."""
        if num_frames < 1:
            raise ValueError(f"a clip of {num_frames} frames cannot be sampled")
        return max(1, num_frames // self._step)

    def train_frames(self, num_frames: int, num_segments: int, rng: np.random.Generator) -> Indices:
        """Training: the frames of T ticks in a row, from one that is drawn; (T,) int64.

        The first tick is uniform in ``0..max(0, ticks - T)``, both ends included. A clip of fewer than T ticks is gone
        through again from its first.
        """
        return self._shown(dense(self.ticks(num_frames), num_segments, 1, rng))

    def test_frames(self, num_frames: int, num_segments: int, views: int) -> Indices:
        """Testing: K times the frames of T ticks in a row; (K, T) int64.

        The first ticks are the integers of a linspace from 0 to ``max(0, ticks - T)``; a single view is the middle one,
        ``(ticks - T + 1) // 2``.
        """
        return self._shown(dense_views(self.ticks(num_frames), num_segments, views, 1))

    def _shown(self, ticks: Indices) -> Indices:
        """The frame at each tick."""
        # Python's whole numbers: in floating point 300 * R / R may be 299.99...
        return (ticks.astype(object) * self._step.numerator // self._step.denominator).astype(np.int64)

    @property
    def _step(self) -> Fraction:
        """Frames a tick, exactly."""
        return Fraction(self.rate) / Fraction(self.fps)
