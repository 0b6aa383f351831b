"""Which frames of a clip are looked at. Frames count from 0; ``num_frames`` is N, ``num_segments`` is T."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Short = Literal["spread", "first"]


def segments(num_frames: int, num_segments: int, rng: np.random.Generator, *, short: Short = "spread") -> Indices:
    """Training: one random frame of each of T equal segments (TSN, arXiv 1608.00859, section 3.2); (T,) int64.

    ``d = N // T``; ``frame_i = i*d + randint(d)``. A clip of fewer than T frames is spread, ``frame_i = i*N // T``
    (mmaction2's rule), or its first frame is taken T times with ``short="first"`` (TIN's).
    """
    _check(num_frames)
    i = np.arange(num_segments, dtype=np.int64)
    d = num_frames // num_segments
    if d > 0:
        return i * d + rng.integers(d, size=num_segments)
    return i * num_frames // num_segments if short == "spread" else np.zeros_like(i)


def centre(num_frames: int, num_segments: int) -> Indices:
    """Testing: the middle of each segment, ``int(tick/2 + tick*i)`` with ``tick = N / T``; (T,) int64.

    In double precision as the reference computes it, whose rounding falls below a whole number now and then when T
    is no power of two: frames are the same as in the published results.
    """
    _check(num_frames)
    tick = num_frames / num_segments
    return np.array([int(tick / 2 + tick * i) for i in range(num_segments)], dtype=np.int64)


def even(num_frames: int, num_segments: int, views: int) -> Indices:
    """Testing with K views: view j takes ``int(tick*(i + (j + 0.5)/K))``; (K, T) int64. One view is :func:`centre`."""
    if views == 1:
        return centre(num_frames, num_segments)[None]
    _check(num_frames)
    tick = num_frames / num_segments
    rows = [[int(tick * (i + (j + 0.5) / views)) for i in range(num_segments)] for j in range(views)]
    return np.array(rows, dtype=np.int64)


def _check(num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f"a clip of {num_frames} frames cannot be sampled")
