"""Pieces of sound on the way from a codec's frames to windows: one channel, resampled, each put where its time says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from tinkit.data.decode.clip_reader import BrokenClip

Wave = NDArray[np.float32]

CLOSE = 10.0
"""Seconds of sound between two wanted pieces that are decoded rather than jumped over."""

_OFF = 0.05  # seconds by which a frame's time may miss the end of the one before it
_PIECE_SECONDS = 4.0
_RATES = range(1000, 1_000_001)
_LOUDEST = 2.0**31  # that of whole numbers written as they are; what is louder is no sound but damage


class Windows:
    """Windows of ``size`` samples that begin at ``starts`` seconds of a file's clock, and which are filled."""

    def __init__(self, starts: Sequence[float], size: int, rate: int) -> None:
        self._starts, self._size, self._rate = starts, size, rate
        self.values = np.zeros((len(starts), size), np.float32)
        self._filled = np.zeros((len(starts), size), bool)

    def ranges(self) -> Iterator[tuple[float, float]]:
        """The seconds to decode: windows close to one another are one range."""
        length = self._size / self._rate
        begin = end = None
        for start in sorted(self._starts):
            if begin is None or end is None:
                begin, end = start, start + length
            elif start - end > CLOSE:
                yield begin, end
                begin, end = start, start + length
            else:
                end = start + length
        if begin is not None and end is not None:
            yield begin, end

    def fill(self, time: float, wave: Wave) -> None:
        """Put sound that begins at ``time`` where windows want it."""
        for row, start in enumerate(self._starts):
            offset = round((time - start) * self._rate)
            low, high = max(0, offset), min(self._size, offset + len(wave))
            if low < high:
                self.values[row, low:high] = wave[low - offset : high - offset]
                self._filled[row, low:high] = True

    def missing(self) -> float:
        """The largest share of a window that nothing filled; less than a codec's frame at its ends counts as 0."""
        missing = self._size - self._filled.sum(axis=1)
        return 0.0 if missing.max() < _OFF * self._rate and missing.max() < self._size else missing.max() / self._size


class Run:
    """Frames that follow one another without a gap, in one format: averaged over channels, then resampled."""

    def __init__(self, frame: Any, rate: int) -> None:
        if frame.sample_rate not in _RATES:
            raise BrokenClip(f"sound of {frame.sample_rate} samples a second")
        self._kind = _kind(frame)
        self._rate, self._begin, self._taken, self._given = rate, frame.time, 0, 0
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
        self._kept: list[Wave] = []
        self._kept_samples = 0

    def takes(self, frame: Any) -> bool:
        """Whether a frame is the continuation."""
        expected = self._begin + (self._taken + self._kept_samples) / self._kind[2]
        return _kind(frame) == self._kind and abs(frame.time - expected) <= _OFF

    def add(self, frame: Any) -> None:
        """Keep a frame's samples."""
        self._kept.append(_mono(frame))
        self._kept_samples += frame.samples

    @property
    def waits(self) -> bool:
        """Whether so much is kept that it should be taken."""
        return self._kept_samples > _PIECE_SECONDS * self._kind[2]

    def piece(self, *, last: bool) -> tuple[float, Wave]:
        """What was kept since the last time, resampled, and when it begins."""
        found: list[Any] = [np.empty((1, 0), np.float32)]
        if self._kept:
            block = AudioFrame.from_ndarray(np.concatenate(self._kept)[None], format="fltp", layout="mono")
            block.sample_rate, block.time_base = self._kind[2], Fraction(1, self._kind[2])
            block.pts = self._taken
            found += (out.to_ndarray() for out in self._resampler.resample(block))
        self._taken, self._kept, self._kept_samples = self._taken + self._kept_samples, [], 0
        if last and self._taken:
            found += (out.to_ndarray() for out in self._resampler.resample(None))
        time, wave = self._begin + self._given / self._rate, np.concatenate(found, axis=1)[0]
        self._given += len(wave)
        return time, wave


def _kind(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _mono(frame: Any) -> Wave:
    """The mean of a frame's channels, from -1 to 1.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for samples that are NaN, infinite, or beyond all sound.
    """
    found: Any = frame.to_ndarray()
    values = found if frame.format.is_planar else found.reshape(frame.samples, -1).T
    if values.dtype.kind == "f" and not bool((np.abs(values) <= _LOUDEST).all()):
        raise BrokenClip("its sound has values that are not finite, or louder than any")
    mean = values.mean(
        axis=0, dtype=np.float32 if values.dtype.itemsize < 4 or values.dtype.kind == "f" else np.float64
    )
    match values.dtype.kind:
        case "u":
            return (mean.astype(np.float32) - 128.0) / 128.0
        case "i":
            return (mean / 2.0 ** (8 * values.dtype.itemsize - 1)).astype(np.float32)
    return mean.astype(np.float32)
