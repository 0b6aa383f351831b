"""Sampling by frame rate against a clock that is watched tick by tick, in fractions, and against torchvision's rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.rates import Resampling

counts = st.integers(1, 900)
lengths = st.integers(1, 40)
rates = st.floats(1, 120) | st.sampled_from([7.5, 15.0, 24.0, 25.0, 30.0, 30000 / 1001])
seeds = st.integers(0, 2**32)


def slow_ticks(n: int, rate: float, fps: float) -> list[int]:
    """The frame shown at each tick: the last one that has begun; ticks that end with or before the clip."""
    tick, beat = 1 / Fraction(fps), 1 / Fraction(rate)
    shown: list[int] = []
    now, frame, next_frame = Fraction(0), 0, beat
    while now + tick <= n * beat:
        while next_frame <= now:
            frame, next_frame = frame + 1, next_frame + beat
        shown.append(frame)
        now += tick
    return shown or [0]


def slow_run(shown: list[int], start: int, length: int) -> list[int]:
    """A walk over the ticks that begins again where they end."""
    run = []
    at = start
    for _ in range(length):
        run.append(shown[at])
        at = 0 if at + 1 == len(shown) else at + 1
    return run


@given(st.integers(1, 60), lengths, rates, rates, seeds)
def test_training_is_a_run_of_ticks(n: int, length: int, rate: float, fps: float, seed: int) -> None:
    found = Resampling(rate, fps).train_frames(n, length, np.random.default_rng(seed))
    shown = slow_ticks(n, rate, fps)
    starts = range(max(0, len(shown) - length) + 1)
    assert found.dtype == np.int64
    assert found.tolist() in [slow_run(shown, start, length) for start in starts]
    assert found.tolist() == slow_run(shown, int(np.random.default_rng(seed).integers(len(starts))), length)


@given(st.integers(1, 60), lengths, rates, rates, st.integers(2, 12))
def test_views_are_spread_from_the_first_run_to_the_last(
    n: int, length: int, rate: float, fps: float, views: int
) -> None:
    found = Resampling(rate, fps).test_frames(n, length, views)
    shown = slow_ticks(n, rate, fps)
    last = max(0, len(shown) - length)
    starts = [int(k * (last / (views - 1))) for k in range(views - 1)] + [last]
    assert found.tolist() == [slow_run(shown, start, length) for start in starts]


@given(st.integers(1, 60), lengths, rates, rates)
def test_a_single_view_begins_in_the_middle(n: int, length: int, rate: float, fps: float) -> None:
    shown = slow_ticks(n, rate, fps)
    starts = range(max(0, len(shown) - length) + 1)
    assert Resampling(rate, fps).test_frames(n, length, 1).tolist() == [
        slow_run(shown, starts[len(starts) // 2], length)
    ]


@given(counts, lengths, st.sampled_from([24.0, 25.0, 30.0, 30000 / 1001, 50.0]), seeds)
def test_a_clip_s_own_rate_is_dense_sampling_without_gaps(n: int, length: int, rate: float, seed: int) -> None:
    drawn = [np.random.default_rng(seed) for _ in range(2)]
    found = Resampling(rate, rate).train_frames(n, length, drawn[0])
    assert np.array_equal(found, sampling.dense(n, length, 1, drawn[1]))


def test_every_start_is_drawn_equally_often() -> None:
    rng, seen = np.random.default_rng(2), Resampling(30, 15)
    drawn = np.bincount([seen.train_frames(40, 8, rng)[0] // 2 for _ in range(6500)])
    assert len(drawn) == 13  # 20 ticks, 8 of them: from 0 to 12
    assert np.all(np.abs(drawn - 500) < 110)  # five standard deviations


def test_frames_of_usual_clips() -> None:
    """By hand: 10 s at 30 frames a second seen at 7.5, 16 frames; 25 seen at 15; and clips that are too short."""
    mvit = Resampling(30, 7.5).test_frames(300, 16, 5)
    assert mvit[:, 0].tolist() == [0, 4 * 14, 4 * 29, 4 * 44, 4 * 59]
    assert mvit[4].tolist() == list(range(236, 300, 4))
    assert Resampling(25, 15).test_frames(10, 6, 1).tolist() == [[0, 1, 3, 5, 6, 8]]
    assert Resampling(30, 10).test_frames(8, 5, 2).tolist() == [[0, 3, 0, 3, 0]] * 2
    assert Resampling(30, 10).test_frames(1, 3, 1).tolist() == [[0, 0, 0]]
    assert Resampling(10, 30).test_frames(2, 6, 1).tolist() == [[0, 0, 0, 1, 1, 1]]


@given(st.integers(30, 900), st.sampled_from([(25.0, 7.5), (24.0, 15.0), (50.0, 7.5), (29.5, 15.0)]), lengths)
def test_torchvision_s_clips_are_these(n: int, rates: tuple[float, float], length: int) -> None:
    """``VideoClips`` where rate / fps is no whole number: floor(arange(M) * step) in single precision, unfolded."""
    rate, fps = rates
    step = rate / fps
    shown = (torch.arange(int(n * fps / rate), dtype=torch.float32) * step).floor().to(torch.int64)
    clips = shown.unfold(0, length, 1) if len(shown) >= length else torch.empty(0, length)
    if len(clips) < 2:
        return
    starts = torch.linspace(0, len(clips) - 1, steps=5, dtype=torch.float64).floor().to(torch.int64)
    found = torch.from_numpy(Resampling(rate, fps).test_frames(n, length, 5))
    apart = (found - clips[starts]).abs()
    assert int(apart.max()) <= 1  # single precision
    assert float((apart > 0).float().mean()) < 0.15


@pytest.mark.parametrize("views", [1, 3])
def test_a_clip_without_frames_is_refused(views: int) -> None:
    with pytest.raises(ValueError, match="0 frames"):
        Resampling(30, 15).test_frames(0, 4, views)
