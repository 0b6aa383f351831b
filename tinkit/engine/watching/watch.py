"""Watch a stream: one frame a tick, one step of the network, and everything that is written of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tinkit.data.decode.clip_reader import BrokenClip, Frame
from tinkit.data.stream.source import StreamSource
from tinkit.data.stream.ticks import Clock
from tinkit.engine.watching.annotated import AnnotatedVideo
from tinkit.engine.watching.rate import Rate, rate_of_training
from tinkit.engine.watching.timeline import History, TimelineFile, draw_timeline
from tinkit.engine.watching.watcher import Reading, Watcher
from tinkit.errors import UserError


@dataclass(frozen=True)
class Outputs:
    """The files to write beside what is said: an annotated ``video``, a ``timeline`` (csv), a ``picture`` of it."""

    video: Path | None = None
    timeline: Path | None = None
    picture: Path | None = None


class Watch:
    """A stream on its way through a watcher; ``tell`` is called with each reading, ``warn`` with what users must know.

    ``fps`` is the rate to watch at, None that of training. ``stopped`` is asked after every frame.
    """

    def __init__(
        self,
        watcher: Watcher,
        source: StreamSource,
        fps: float | None,
        tell: Callable[[Reading], None],
        warn: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._watcher, self._source, self._fps = watcher, source, fps
        self._tell, self._warn, self._stopped = tell, warn, stopped
        self.readings = 0
        """How many ticks were read."""
        self.rate: Rate | None = None
        """The rate, once the first frame has come."""

    def run(self, outputs: Outputs) -> None:
        """Until the stream ends, or ``stopped``; what was written until then stays, and is whole.

        Raises :class:`~tinkit.errors.UserError` for a stream that stalls or breaks.
        """
        frames = iter(self._source)
        first = next(frames)
        self.rate = Rate(self._fps, "--fps") if self._fps else rate_of_training(self._watcher.recipe, self._source.rate)
        clock = Clock(self.rate.fps)
        with ExitStack() as files:
            written = _Written(outputs, self._watcher, 1 / clock.rate, files)
            before: Frame = first.frame
            latest: Reading | None = None
            for moment in clock.moments(chain([first], frames)):
                if moment.jumped:
                    self._warn(f"the stream's clock jumps by {moment.jumped:+.1f} s at {moment.seconds:.2f} s")
                latest = self._ticks(before, clock.passed - moment.ticks, moment.ticks, written) or latest
                before = moment.shown.frame
                written.show(before, moment.seconds, latest)
                if self._stopped():
                    return
            rest = clock.rest(1 / self._source.rate if self._source.rate else 0)
            self._ticks(before, clock.passed - rest, rest, written)

    def _ticks(self, frame: Frame, begin: int, count: int, written: _Written) -> Reading | None:
        """Read ``frame`` at ticks ``begin``, ``begin + 1``, ...; the last of the readings."""
        reading = None
        for tick in range(begin, begin + count):
            reading = self._read(frame, tick)
            self.readings += 1
            self._tell(reading)
            written.add(reading)
        return reading

    def _read(self, frame: Frame, tick: int) -> Reading:
        assert self.rate is not None
        try:
            return self._watcher.read(frame, tick / self.rate.fps)
        except BrokenClip as error:
            raise UserError(f"{self._source.name}: {error.reason}") from None


class _Written:
    """The files of a watch, open for as long as ``files`` is."""

    def __init__(self, outputs: Outputs, watcher: Watcher, tick: float, files: ExitStack) -> None:
        self._video = files.enter_context(AnnotatedVideo(outputs.video)) if outputs.video else None
        self._timeline = files.enter_context(TimelineFile(outputs.timeline, tick)) if outputs.timeline else None
        self._history = History(len(watcher.classes)) if outputs.picture else None
        if outputs.picture is not None and self._history is not None:
            files.callback(draw_timeline, outputs.picture, self._history, watcher.classes)

    def add(self, reading: Reading) -> None:
        """A reading, at its tick."""
        if self._timeline is not None:
            self._timeline.add(reading)
        if self._history is not None:
            self._history.add(reading)

    def show(self, frame: Frame, seconds: float, latest: Reading | None) -> None:
        """A frame as it came, with the latest reading before it."""
        if self._video is not None:
            self._video.add(frame, seconds, latest.labels if latest else ())
