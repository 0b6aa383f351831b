from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data import sampling

frames = st.integers(1, 2000)
segments = st.integers(1, 64)


@given(frames, segments, st.integers(0, 2**32), st.sampled_from(["spread", "first"]))
def test_segments_take_one_frame_of_each_equal_part(n: int, t: int, seed: int, short: sampling.Short) -> None:
    found = sampling.segments(n, t, np.random.default_rng(seed), short=short)
    assert found.shape == (t,)
    assert found.dtype == np.int64
    d = n // t
    for i, frame in enumerate(found):
        if d > 0:
            assert i * d <= frame < (i + 1) * d
        elif short == "spread":
            assert frame == i * n // t
        else:
            assert frame == 0
    assert 0 <= found.min() <= found.max() < n


def test_segments_reach_every_frame_of_a_segment_equally_often() -> None:
    rng = np.random.default_rng(1)
    drawn = np.concatenate([sampling.segments(14, 3, rng) for _ in range(3000)])
    counts = np.bincount(drawn, minlength=14)
    assert counts[12:].tolist() == [0, 0]  # d = 4, so the last two frames are never seen
    assert np.all(np.abs(counts[:12] - 750) < 120)  # about five standard deviations


def test_segments_depend_on_the_generator_only() -> None:
    first = sampling.segments(90, 8, np.random.default_rng(5))
    assert np.array_equal(first, sampling.segments(90, 8, np.random.default_rng(5)))
    assert not np.array_equal(first, sampling.segments(90, 8, np.random.default_rng(6)))


@given(frames, segments)
def test_centre_is_the_published_formula(n: int, t: int) -> None:
    tick = n / t
    assert sampling.centre(n, t).tolist() == [int(tick / 2.0 + tick * x) for x in range(t)]


@given(st.integers(1, 3000), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_centre_is_exact_for_powers_of_two(n: int, t: int) -> None:
    assert sampling.centre(n, t).tolist() == [n * (2 * i + 1) // (2 * t) for i in range(t)]


@given(frames, segments, st.integers(2, 12))
def test_even_is_the_formula_of_each_view(n: int, t: int, views: int) -> None:
    found = sampling.even(n, t, views)
    tick = n / t
    expected = [[int(tick * (i + (j + 0.5) / views)) for i in range(t)] for j in range(views)]
    assert found.tolist() == expected
    assert found.shape == (views, t)
    assert 0 <= found.min() <= found.max() < n


@given(frames, segments)
def test_one_even_view_is_the_centre(n: int, t: int) -> None:
    assert np.array_equal(sampling.even(n, t, 1), sampling.centre(n, t)[None])


def test_views_of_a_usual_clip() -> None:
    assert sampling.centre(90, 8).tolist() == [5, 16, 28, 39, 50, 61, 73, 84]
    assert sampling.even(80, 8, 2).tolist() == [[2, 12, 22, 32, 42, 52, 62, 72], [7, 17, 27, 37, 47, 57, 67, 77]]
    assert sampling.segments(3, 8, np.random.default_rng(0)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_an_empty_clip_cannot_be_sampled() -> None:
    for sample in (
        lambda: sampling.centre(0, 8),
        lambda: sampling.even(0, 8, 2),
        lambda: sampling.segments(0, 8, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="0 frames"):
            sample()
