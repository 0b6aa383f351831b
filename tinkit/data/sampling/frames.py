"""Which frames of a clip are looked at. Frames count from 0; ``num_frames`` is N, ``num_segments`` is T.

Where a segment is L consecutive frames (``length``; see :mod:`tinkit.data.config.modality`), the rules choose its
first one, among the N - L + 1 that have L - 1 behind them, and :func:`stacks` adds the others.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinkit.data.config.views import TestRule

Indices = NDArray[np.int64]
Short = Literal["spread", "first"]
TrainRule = Literal["segments", "dense"]


def train_frames(
    rule: TrainRule,
    num_frames: int,
    num_segments: int,
    stride: int,
    rng: np.random.Generator,
    *,
    short: Short = "spread",
    length: int = 1,
) -> Indices:
    """The frames of a training clip, drawn by ``rule``; (T,) int64. ``stride`` belongs to dense, ``short`` to segments.

    The rule dense takes its frames from the whole clip whatever ``length`` is, as published. Raises ValueError for a
    clip without frames, as every function here does.
    """
    if rule == "dense":
        return dense(num_frames, num_segments, stride, rng)
    return segments(_first_frames(num_frames, length), num_segments, rng, short=short)


def test_frames(
    rule: TestRule,
    num_frames: int,
    num_segments: int,
    views: int,
    stride: int,
    rng: np.random.Generator,
    *,
    length: int = 1,
) -> Indices:
    """The frames of the K = ``views`` temporal samples of a test clip, by ``rule``; (K, T) int64.

    ``stride`` belongs to the rule dense, ``rng`` to random. Raises ValueError for more samples than a rule has (centre
    has one, twice has two) and for a clip without frames.
    """
    if rule == "dense":
        return dense_views(num_frames, num_segments, views, stride)
    firsts = _first_frames(num_frames, length)
    if rule == "random":
        return random(firsts, num_segments, views, rng)
    if rule == "even":
        return even(firsts, num_segments, views)
    most = 1 if rule == "centre" else 2
    if views > most:
        raise ValueError(f"{views} temporal samples by the rule {rule!r}, which has {most}")
    return twice(firsts, num_segments)[:views]


def stacks(firsts: Indices, num_frames: int, length: int) -> Indices:
    """(..., T), the first frames of segments, to (..., T, L): each and those behind it. Past the clip's end its last
    frame is repeated, as TSN does."""
    return np.minimum(firsts[..., None] + np.arange(length, dtype=np.int64), num_frames - 1)


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


def dense(num_frames: int, num_segments: int, stride: int, rng: np.random.Generator) -> Indices:
    """Training: T frames ``stride`` apart, ``(start + i*stride) mod N``; (T,) int64.

    ``start`` is uniform in ``0..max(0, N - T*stride)``, both ends included. (The TIN, TSM and X-Temporal code never
    draws the last of them.) A clip that is too short begins at 0 and is gone through again from its first frame.
    """
    _check(num_frames)
    start = rng.integers(_latest_start(num_frames, num_segments, stride) + 1)
    return _strided(np.array([start]), num_frames, num_segments, stride)[0]


def centre(num_frames: int, num_segments: int) -> Indices:
    """Testing: the middle of each segment, ``int(tick/2 + tick*i)`` with ``tick = N / T``; (T,) int64.

    In double precision as the reference computes it, whose rounding falls below a whole number now and then when T
    is not a power of two: frames are the same as in the published results.
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


def twice(num_frames: int, num_segments: int) -> Indices:
    """Testing with two views: :func:`centre`, then segment starts, ``int(tick*i)`` (mit-han-lab's); (2, T) int64."""
    first = centre(num_frames, num_segments)
    tick = num_frames / num_segments
    return np.stack([first, np.array([int(tick * i) for i in range(num_segments)], dtype=np.int64)])


def random(num_frames: int, num_segments: int, views: int, rng: np.random.Generator) -> Indices:
    """Testing with K views: :func:`centre`, then K - 1 draws of :func:`segments` (TIN, X-Temporal); (K, T) int64.

    A view's frames do not depend on how many views follow it. A clip of fewer than T frames, on which those fail, is
    spread.
    """
    first = centre(num_frames, num_segments)
    return np.stack([first, *(segments(num_frames, num_segments, rng) for _ in range(views - 1))])


def dense_views(num_frames: int, num_segments: int, views: int, stride: int) -> Indices:
    """Testing: K runs of T frames ``stride`` apart, ``(start + i*stride) mod N`` (X-Temporal's); (K, T) int64.

    The starts are the integers of a linspace from 0 to ``max(0, N - T*stride)``. A single view starts in the middle,
    ``(N - T*stride + 1) // 2``, as X-Temporal validates. TIN's and mit-han-lab's ten dense clips are
    ``stride = 64 // T`` and K = 10, the same frames where T divides 64.
    """
    _check(num_frames)
    last = _latest_start(num_frames, num_segments, stride)
    starts = np.array([(last + 1) // 2]) if views == 1 else np.linspace(0, last, num=views, dtype=np.int64)
    return _strided(starts, num_frames, num_segments, stride)


def _latest_start(num_frames: int, num_segments: int, stride: int) -> int:
    return max(0, num_frames - num_segments * stride)


def _strided(starts: NDArray[np.int64], num_frames: int, num_segments: int, stride: int) -> Indices:
    """(K,) starts -> (K, T) frames."""
    return (starts[:, None] + stride * np.arange(num_segments, dtype=np.int64)) % num_frames


def _first_frames(num_frames: int, length: int) -> int:
    """How many frames a segment may begin with: one at least."""
    _check(num_frames)
    return max(1, num_frames - length + 1)


def _check(num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f"a clip of {num_frames} frames cannot be sampled")
