"""Frames of a clip against the published formulas, written out slowly, and against clips worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.config.views import TestRule
from tinkit.data.sampling import frames as sampling

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


strides = st.integers(1, 40)
rules = st.sampled_from(["even", "centre", "random", "twice", "dense"])


def slow_dense(n: int, t: int, stride: int, start: int) -> list[int]:
    """A walk over the clip, a frame at a time, that begins again where the clip ends."""
    walk = itertools.islice(itertools.cycle(range(n)), start, None)
    return list(itertools.islice(walk, 0, t * stride, stride))


def starts_of_dense(n: int, t: int, stride: int) -> range:
    """Every place where T frames with a stride's room each fit into the clip; the beginning if there is none."""
    return range(max(0, n - t * stride) + 1)


@given(frames, segments, strides, st.integers(0, 2**32))
def test_dense_training_walks_on_from_a_place_where_it_fits(n: int, t: int, stride: int, seed: int) -> None:
    found = sampling.train_frames("dense", n, t, stride, np.random.default_rng(seed))
    assert found.dtype == np.int64
    assert int(found[0]) in starts_of_dense(n, t, stride)
    assert found.tolist() == slow_dense(n, t, stride, int(found[0]))
    if t * stride <= n:
        assert np.array_equal(np.diff(found), np.full(t - 1, stride))


def test_dense_training_draws_every_start_equally_often() -> None:
    rng = np.random.default_rng(2)
    drawn = np.bincount([sampling.train_frames("dense", 20, 4, 2, rng)[0] for _ in range(6500)])
    assert len(drawn) == 13  # 0..20-8, both ends
    assert np.all(np.abs(drawn - 500) < 110)  # five standard deviations
    assert {int(sampling.train_frames("dense", 8, 4, 2, rng)[0]) for _ in range(50)} == {0}
    assert {int(sampling.train_frames("dense", 9, 4, 2, rng)[0]) for _ in range(50)} == {0, 1}


@given(frames, segments, st.sampled_from(["spread", "first"]))
def test_segments_is_the_other_rule_of_training(n: int, t: int, short: sampling.Short) -> None:
    found = sampling.train_frames("segments", n, t, 3, np.random.default_rng(4), short=short)
    assert np.array_equal(found, sampling.segments(n, t, np.random.default_rng(4), short=short))


@given(frames, segments, st.integers(2, 12), strides)
def test_dense_views_start_evenly_from_the_first_place_to_the_last(n: int, t: int, views: int, stride: int) -> None:
    found = sampling.test_frames("dense", n, t, views, stride, np.random.default_rng(0))
    last = starts_of_dense(n, t, stride)[-1]
    starts = [int(k * (last / (views - 1))) for k in range(views - 1)] + [last]
    assert found.tolist() == [slow_dense(n, t, stride, start) for start in starts]


@given(frames, segments, strides)
def test_one_dense_view_starts_in_the_middle(n: int, t: int, stride: int) -> None:
    found = sampling.test_frames("dense", n, t, 1, stride, np.random.default_rng(0))
    places = starts_of_dense(n, t, stride)
    assert found.tolist() == [slow_dense(n, t, stride, places[len(places) // 2])]


def test_dense_views_of_usual_clips() -> None:
    """By hand: 300 frames, 8 of them 8 apart, as TIN and mit-han-lab test on Kinetics (64 // 8, ten clips)."""
    found = sampling.test_frames("dense", 300, 8, 10, 8, np.random.default_rng(0))
    assert found[:, 0].tolist() == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert found[9].tolist() == [236, 244, 252, 260, 268, 276, 284, 292]
    assert sampling.test_frames("dense", 10, 4, 1, 2, np.random.default_rng(0)).tolist() == [[1, 3, 5, 7]]
    assert sampling.test_frames("dense", 5, 4, 2, 2, np.random.default_rng(0)).tolist() == [[0, 2, 4, 1]] * 2


@given(frames, segments)
def test_twice_is_the_centres_then_where_segments_start(n: int, t: int) -> None:
    found = sampling.test_frames("twice", n, t, 2, 2, np.random.default_rng(0))
    tick = n / t
    assert found.tolist() == [[int(tick / 2 + tick * i) for i in range(t)], [int(tick * i) for i in range(t)]]


def test_twice_of_a_usual_clip() -> None:
    found = sampling.test_frames("twice", 90, 8, 2, 2, np.random.default_rng(0))
    assert found.tolist() == [[5, 16, 28, 39, 50, 61, 73, 84], [0, 11, 22, 33, 45, 56, 67, 78]]
    assert sampling.test_frames("twice", 3, 4, 2, 2, np.random.default_rng(0)).tolist() == [[0, 1, 1, 2], [0, 0, 1, 2]]


@given(frames, segments, st.integers(2, 12), st.integers(0, 2**32))
def test_random_views_are_the_centre_and_one_frame_of_each_segment(n: int, t: int, views: int, seed: int) -> None:
    found = sampling.test_frames("random", n, t, views, 2, np.random.default_rng(seed))
    assert np.array_equal(found[0], sampling.centre(n, t))
    d = n // t
    for row in found[1:]:
        for i, frame in enumerate(row):
            assert i * d <= frame < (i + 1) * d if d else frame == i * n // t
    fewer = sampling.test_frames("random", n, t, views - 1, 2, np.random.default_rng(seed))
    assert np.array_equal(found[:-1], fewer)  # a view is the same however many follow


@given(frames, segments, rules, st.integers(1, 12), strides)
def test_every_rule_stays_within_the_clip(n: int, t: int, rule: TestRule, views: int, stride: int) -> None:
    views = min(views, {"centre": 1, "twice": 2}.get(rule, views))
    found = sampling.test_frames(rule, n, t, views, stride, np.random.default_rng(0))
    assert found.shape == (views, t)
    assert found.dtype == np.int64
    assert 0 <= found.min() <= found.max() < n


@given(frames, segments, st.sampled_from(["even", "centre", "random", "twice"]))
def test_one_view_is_the_centre_by_every_rule_of_segments(n: int, t: int, rule: TestRule) -> None:
    found = sampling.test_frames(rule, n, t, 1, 2, np.random.default_rng(0))
    assert np.array_equal(found, sampling.centre(n, t)[None])


@given(frames, segments, st.integers(1, 12))
def test_even_is_the_rule_of_that_name(n: int, t: int, views: int) -> None:
    assert np.array_equal(
        sampling.test_frames("even", n, t, views, 2, np.random.default_rng(0)), sampling.even(n, t, views)
    )


@pytest.mark.parametrize(("rule", "views"), [("centre", 2), ("twice", 3)])
def test_more_views_than_a_rule_has_are_refused(rule: TestRule, views: int) -> None:
    with pytest.raises(ValueError, match=f"{views} temporal samples by the rule '{rule}'"):
        sampling.test_frames(rule, 90, 8, views, 2, np.random.default_rng(0))


def test_an_empty_clip_cannot_be_sampled() -> None:
    rng = np.random.default_rng(0)
    for train in ("segments", "dense"):
        with pytest.raises(ValueError, match="0 frames"):
            sampling.train_frames(train, 0, 8, 2, rng)
    for rule, views in (("centre", 1), ("even", 2), ("random", 2), ("twice", 2), ("dense", 1), ("dense", 2)):
        with pytest.raises(ValueError, match="0 frames"):
            sampling.test_frames(rule, 0, 8, views, 2, rng)
