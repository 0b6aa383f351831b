"""The timeline: rows as stretches end, and a history whose memory is bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinkit.engine.watching.timeline import History, TimelineFile
from tinkit.engine.watching.watcher import Reading


def reading(tick: int, label: str, probability: float) -> Reading:
    mean = np.array([probability, 1 - probability], np.float32)
    return Reading(tick / 2, mean, mean, ((label, probability),))


def test_rows_are_written_as_stretches_end(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "t.csv"
    with TimelineFile(file, 0.5) as timeline:
        for tick, label in enumerate("aab"):
            timeline.add(reading(tick, label, 0.5 + tick / 10))
        assert file.read_text().splitlines() == ["begin,end,class,probability,frames", "0.000,1.000,a,55.00,2"]
    assert file.read_text().splitlines()[-1] == "1.000,1.500,b,70.00,1"


def test_a_history_is_bounded_and_keeps_the_mean() -> None:
    history = History(2, most=8)
    for tick in range(1000):
        history.add(reading(tick, "a", tick % 10 / 10))
    seconds, values = history.points()
    assert 4 <= len(seconds) <= 8
    assert seconds[0] == 0
    assert (np.diff(seconds) == seconds[1]).all()
    assert np.abs(values[:, 0] - 0.45).max() < 0.03
