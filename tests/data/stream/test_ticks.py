"""The clock of a stream: which frame each tick shows, whatever times the frames have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinkit.data.sampling.rates import Resampling
from tinkit.data.stream.source import Shown
from tinkit.data.stream.ticks import Clock

EMPTY = np.zeros((1, 1, 3), np.uint8)


def shown_at(times: Iterable[float], rate: float, lasts: float = 0.0) -> tuple[list[int], list[float]]:
    """The number of the frame at each tick, and the jumps."""
    clock, frames, jumps = Clock(rate), [], []
    last = -1
    for number, moment in enumerate(clock.moments(Shown(time, EMPTY) for time in times)):
        frames += [last] * moment.ticks
        jumps += [moment.jumped] if moment.jumped else []
        last = number
    frames += [last] * clock.rest(lasts)
    assert len(frames) == clock.passed
    return frames, jumps


@settings(max_examples=50)
@given(
    st.integers(1, 120),
    st.sampled_from([8, 10, 12, 24, 25, 30, 50, 60]),
    st.integers(2, 480).map(lambda eighths: Fraction(eighths, 8)),
)
def test_a_constant_rate_shows_what_sampling_by_rate_does(count: int, rate: int, fps: Fraction) -> None:
    found, jumps = shown_at((number / rate for number in range(count)), float(fps), 1 / rate)
    late = min(Fraction(1, 1000), 1 / (10 * fps))  # what the times of frames may be wrong by
    ticks = [tick for tick in range(10_000) if tick / fps < Fraction(count, rate) - late]
    exact = [tick * rate // fps for tick in ticks]
    assert found == [int((tick / fps + late) * rate) for tick in ticks]
    assert not jumps
    seen = Resampling(rate, float(fps))
    several = seen.ticks(count)
    if found == exact:
        assert found[:several] == seen.test_frames(count, several, 1)[0].tolist()[: len(found)]
    assert several - 1 <= len(found) <= several + 1


@settings(max_examples=50)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.5, 40))
def test_any_times_show_the_last_frame_that_had_come(gaps: Sequence[float], rate: float) -> None:
    times = np.cumsum([0.0, *gaps[1:]])
    found, jumps = shown_at(times.tolist(), rate)
    assert not jumps
    for tick, frame in enumerate(found):
        assert times[frame] <= tick / rate + 1.1e-3
        assert frame + 1 == len(times) or times[frame + 1] > tick / rate - 1.1e-3
    assert len(found) - 1 <= times[-1] * rate + 0.11


def at(times: Sequence[float], jump: float) -> Iterator[float]:
    yield from times
    yield from (time + jump for time in times)


@pytest.mark.parametrize("jump", [-500.0, 1e6, -0.5])
def test_a_clock_that_jumps_is_set_anew(jump: float) -> None:
    times = [number / 10 for number in range(20)]
    found, jumps = shown_at(at(times, jump), 10)
    assert len(jumps) == 1
    assert jumps[0] == pytest.approx(jump - times[-1])
    assert found == list(range(40))


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_no_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Clock(rate)
