"""The sound of a clip: windows of it, decoded by libav, as one channel at a rate of one's own.

Channels are averaged, whatever their layout. A window lies where its file's clock says, whether the stream of sound
begins with the pictures, before or after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from tinkit.data.decode import containers, libav
from tinkit.data.decode.clip_reader import BrokenClip, NoSound, Note, broken_on, describe, is_shortage
from tinkit.data.decode.settings import DecodeSettings, Spending
from tinkit.data.sound.extent import sound_extent
from tinkit.data.sound.waves import CLOSE, Run, Wave, Windows

_ERRORS = (av.error.FFmpegError, OSError, UnicodeDecodeError)
_PREROLL = 0.5  # seconds decoded before a wanted one, for codecs whose frames lean on earlier ones
_FRAMES_A_LOOK = 64


class SoundReader:
    """The first stream of sound of a file: a context manager with ``seconds``, how much there is.

    ``start`` and ``frames`` cut a part out of it, by the times of the frames of its first video stream. Raises
    :class:`~tinkit.data.decode.clip_reader.NoSound` for a file, or a part, without sound, and for less than ``least``
    seconds of it; :class:`~tinkit.data.decode.clip_reader.BrokenClip` for what cannot be read.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        frames: int | None = None,
        decoding: DecodeSettings = DecodeSettings(),
        *,
        least: float = 0.0,
    ) -> None:
        self.notes: set[Note] = set()
        self._path, self._spending = path, Spending(decoding)
        with broken_on(_ERRORS):
            if not path.is_file():
                raise BrokenClip("no such file")
            there, announced, _ = containers.measure(path)
            if there == 0:
                raise BrokenClip("the file is empty")
            if announced > there:
                self.notes.add("cut off")
            self._open()
            try:
                self._extent = sound_extent(self._container, self._stream, self._video, start, frames)
                self._spending.end()
                self._begin = self._extent.begin
                if self._begin <= self._extent.first:
                    self._begin = max(self._begin, self._first_decoded())
                self.seconds = self._extent.end - self._begin
                if self.seconds <= least:
                    raise NoSound(f" but {max(0.0, self.seconds):.3f} s, shorter than clip.audio_window")
            except BaseException:  # whatever it is, it is raised again
                self.close()
                raise

    def read(self, starts: Sequence[float], samples: int, rate: int) -> Wave:
        """Windows of ``samples`` at ``rate`` a second that begin ``starts`` seconds after the sound does.

        (len(starts), samples) float32, -1 to 1. Where there is less sound than a window, it is repeated. Raises
        :class:`~tinkit.data.decode.clip_reader.BrokenClip` for what cannot be decoded.
        """
        there = max(1, min(samples, int(self.seconds * rate)))
        windows = Windows([self._begin + start for start in starts], there, rate)
        with broken_on(_ERRORS):
            for begin, end in windows.ranges():
                for time, wave in self._decoded(begin, end, rate):
                    windows.fill(time, wave)
        missing = windows.missing()
        if missing >= 1.0:
            raise BrokenClip("none of its sound can be decoded")
        if missing > 0.0:
            self.notes.add("gaps in the sound")
        if there == samples:
            return windows.values
        self.notes.add("sound shorter than a window, repeated")
        return np.tile(windows.values, -(-samples // there))[:, :samples]

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            # without the prefix a name such as "concat:a|b" would be a protocol
            self._container, self._stream, self._video = libav.open_sound(f"file:{self._path}")
        except _ERRORS as error:
            if is_shortage(error) or isinstance(error, OSError):
                raise
            raise BrokenClip(f"{containers.what_else(self._path)} ({describe(error)})") from error

    def _first_decoded(self) -> float:
        """When the first sound is heard: what an encoder put before it is left out by libav."""
        for frame in self._frames(self._extent.first):
            return float(frame.time)
        raise BrokenClip("none of its sound can be decoded")

    def _decoded(self, begin: float, end: float, rate: int) -> Iterator[tuple[float, Wave]]:
        """Pieces of sound that cover ``begin`` to ``end`` seconds: when each begins, and its samples."""
        run = None
        for frame in self._frames(begin):
            if run is None or not run.takes(frame):
                if run is not None:
                    yield run.piece(last=True)
                run = Run(frame, rate)
            run.add(frame)
            if run.waits:
                yield run.piece(last=False)
            if frame.time > end:
                break
        if run is not None:
            yield run.piece(last=True)

    def _frames(self, begin: float) -> Iterator[Any]:
        """Decoded frames from ``_PREROLL`` before ``begin`` on, or from the file's beginning where that is near."""
        near = begin - self._extent.first < CLOSE
        self._go_to(self._extent.first if near else begin - _PREROLL)
        for count, frame in enumerate(self._each_frame(begin)):
            if count % _FRAMES_A_LOOK == 0:
                self._spending.end()
            yield frame

    def _go_to(self, seconds: float) -> None:
        """Have the next packet be one from ``seconds`` or earlier; of a file that cannot jump it is the first."""
        self._next: Any = None
        try:
            self._container.seek(round(seconds / self._stream.time_base), stream=self._stream)
            self._source = self._container.demux(self._stream)
            self._next = next(self._source)
        except (av.error.FFmpegError, StopIteration):
            pass
        if self._next is None or self._next.pts is None or self._next.pts * self._stream.time_base > seconds + 1e-6:
            self._container.close()
            self._open()
            self._source = self._container.demux(self._stream)
            self._next = next(self._source)

    def _each_frame(self, begin: float) -> Iterator[Any]:
        """Every frame; those before ``begin`` may be damaged, as they are behind a jump."""
        self._spending.begin()
        for packet in chain((self._next,), self._source):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                if packet.pts is None or packet.pts * self._stream.time_base >= begin:
                    raise
                continue
            yield from (frame for frame in frames if frame.pts is not None and frame.samples)
