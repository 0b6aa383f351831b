"""A stream as a timeline: when the likeliest class was which, as a csv file that grows, and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from tinkit.engine.watching.watcher import Reading
from tinkit.files.atomic import check_place

COLUMNS = ("begin", "end", "class", "probability", "frames")


@dataclass
class _Stretch:
    """Ticks in a row with one likeliest class; ``total`` is the sum of its probabilities."""

    label: str
    begin: float
    end: float
    total: float
    frames: int


class TimelineFile:
    """A csv file, a row a stretch with one likeliest class, written as soon as the stretch has ended.

    Columns: ``begin`` and ``end`` in seconds, ``class``, its mean ``probability`` in percent, ``frames``. A killed
    command leaves the rows that were complete.
    """

    def __init__(self, file: Path, tick: float) -> None:
        check_place(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._tick = tick
        self._file: IO[str] = file.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)
        self._file.flush()
        self._now: _Stretch | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._file.close()

    def add(self, reading: Reading) -> None:
        """Take the next tick's reading."""
        label, probability = reading.labels[0]
        if self._now is None or self._now.label != label:
            self._end()
            self._now = _Stretch(label, reading.seconds, reading.seconds, 0.0, 0)
        self._now.end = reading.seconds + self._tick
        self._now.total += probability
        self._now.frames += 1

    def _end(self) -> None:
        if self._now is None:
            return
        one, self._now = self._now, None
        mean = 100 * one.total / one.frames
        self._rows.writerow((f"{one.begin:.3f}", f"{one.end:.3f}", one.label, f"{mean:.2f}", one.frames))
        self._file.flush()


class History:
    """The means of a stream so far, thinned out: at most ``most`` points, each the mean of as many ticks.

    So the memory of an endless stream is bounded: twice as many ticks a point whenever it is full.
    """

    def __init__(self, classes: int, most: int = 2048) -> None:
        self._values = np.zeros((most, classes), np.float32)
        self._seconds = np.zeros(most)
        self._full, self._each = 0, 1
        self._sum, self._count, self._begin = np.zeros(classes), 0, 0.0

    def add(self, reading: Reading) -> None:
        """Take the next tick's reading."""
        if self._count == 0:
            self._begin = reading.seconds
        self._sum += reading.mean
        self._count += 1
        if self._count < self._each:
            return
        if self._full == len(self._values):
            half = self._full // 2
            self._values[:half] = (self._values[0::2] + self._values[1::2]) / 2
            self._seconds[:half] = self._seconds[0::2]
            self._full, self._each = half, 2 * self._each
            return
        self._values[self._full], self._seconds[self._full] = self._sum / self._count, self._begin
        self._full += 1
        self._sum, self._count = np.zeros_like(self._sum), 0

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Seconds (P,) and mean probabilities (P, C)."""
        return self._seconds[: self._full], self._values[: self._full]


def draw_timeline(file: Path, history: History, classes: Sequence[str], most: int = 8) -> None:
    """Draw the probabilities of the ``most`` classes that were the likeliest at some time, over time; PNG or SVG.

    Needs matplotlib (the extra ``plot``).
    """
    from matplotlib.figure import Figure

    seconds, values = history.points()
    peaks = np.argsort(-values.max(0, initial=0))[:most] if len(values) else np.array([], int)
    figure = Figure((10, 4), layout="constrained")
    axes = figure.subplots()
    for index in peaks:
        axes.plot(seconds, 100 * values[:, index], label=classes[index][:60])
    axes.set(xlabel="seconds", ylabel="probability, %", ylim=(0, 100))
    if len(peaks):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    figure.savefig(file, dpi=120)
