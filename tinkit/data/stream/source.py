"""Where a stream's frames come from: a video file, a camera, an address, or standard input.

A thread of its own reads ahead by a few frames, so that whoever waits can tell a stream that has stalled from one that
has ended. A live stream (a camera, ``rtsp://``, ``udp://``) does not wait for its reader: frames that nobody took in
time are dropped, and counted.
"""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.logging
import numpy as np

from tinkit.data.decode.clip_reader import BrokenClip, Frame, Note, describe
from tinkit.data.decode.libav import open_live
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.turning import Turner
from tinkit.errors import UserError

STDIN = "-"
_AHEAD = 4  # frames that are decoded before anyone asks
_OPENING = 20.0  # seconds that the first frame may take at least: cameras wake up, and containers are looked into
_GAP = 1.0  # seconds from one frame to the next that are worth a word, and that an end may come early
_ADDRESS = re.compile(r"(rtsp|rtsps|rtmp|http|https|udp|srt)://", re.IGNORECASE)
_FILES_AFAR = ("http", "https")  # which wait for their reader
_CAMERA = re.compile(r"\d{1,2}|/dev/video\d{1,2}")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
_BAD_IN_A_ROW = 100  # packets that cannot be decoded, after which a stream is broken


@dataclass(frozen=True)
class Shown:
    """A frame (H, W, 3) uint8 of a stream, turned as it is to be shown, and its ``seconds`` since the first."""

    seconds: float
    frame: Frame


@dataclass
class Losses:
    """What a stream has lost so far: frames ``dropped`` for want of time, packets and frames that were ``damaged``, and
    the seconds of ``gaps`` of more than a second between two frames."""

    dropped: int = 0
    damaged: int = 0
    gaps: float = 0.0
    notes: set[Note] = field(default_factory=set)


class StreamSource:
    """The frames of a stream, in order, as they come; a context manager.

    ``name`` is a file, a camera (``0`` or ``/dev/video0``), an address such as ``rtsp://``, or ``-`` for standard
    input. ``stall`` is how many seconds to wait for a frame. ``losses`` says what was left out.
    """

    def __init__(self, name: str, stall: float, decoding: DecodeSettings) -> None:
        self.name, self._stall, self._decoding = name, stall, decoding
        self.losses = Losses()
        self.rate = 0.0
        """Frames a second, as the stream states it once a frame has come; 0 where it does not."""
        address = _ADDRESS.match(name)
        self.live = bool(_CAMERA.fullmatch(name)) or (address is not None and address[1].lower() not in _FILES_AFAR)
        self._ready: queue.Queue[Shown | Exception | None] = queue.Queue(_AHEAD)
        self._over = threading.Event()
        self._begun = False

    def __enter__(self) -> Self:
        # a daemon: nothing can wake a thread that waits for a camera or a pipe
        threading.Thread(target=self._read, name="reading a stream", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def __iter__(self) -> Iterator[Shown]:
        """The frames. Raises :class:`~tinkit.errors.UserError` for a stream that stalls, breaks or does not open."""
        while (shown := self._next()) is not None:
            yield shown

    def _next(self) -> Shown | None:
        try:
            patience = self._stall if self._begun else max(self._stall, _OPENING)
            found = self._ready.get(timeout=patience)
        except queue.Empty:
            raise UserError(
                f"{self._called}: no frame for {patience:g} s: the stream has stalled",
                fix="see whether its sender runs; --stall waits longer",
            ) from None
        self._begun = True
        if isinstance(found, Exception):
            raise found
        return found

    @property
    def _called(self) -> str:
        return "standard input" if self.name == STDIN else self.name

    def _read(self) -> None:
        """What the thread does: it hands over frames, then None, or the error that ended them."""
        seconds: float | None = None
        try:
            container, stream = _open(self.name, self._stall, self._decoding)
            try:
                for shown in self._frames(container, stream):
                    seconds = shown.seconds
                    self._hand_over(shown)
                    if self._over.is_set():
                        return
                _require_whole(container, seconds)
            finally:
                container.close()
        except (BrokenClip, UserError, av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
            reason = error.reason if isinstance(error, BrokenClip) else describe(error)
            at = "cannot be watched" if seconds is None else f"the stream broke after {seconds:.1f} s"
            problem = error if isinstance(error, UserError) else UserError(f"{self._called}: {at}: {reason}")
            self._hand_over(problem)
            return
        lost = UserError(f"{self._called}: the stream has no frames") if seconds is None else None
        self._hand_over(lost)

    def _frames(self, container: Any, stream: Any) -> Iterator[Shown]:
        turner = Turner(self.losses.notes, turn=self._decoding.turn)
        self.rate = float(stream.average_rate or stream.guessed_rate or 0)
        step = 1 / self.rate if self.rate else 1 / 25
        first: float | None = None
        last, bad = -step, 0
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                self.losses.damaged += 1
                bad += 1
                if bad > _BAD_IN_A_ROW:
                    raise
                continue
            for frame in decoded:
                bad = 0
                self._decoding.check_pixels(frame.width, frame.height)
                self.losses.damaged += bool(frame.is_corrupt)
                time = frame.time
                first = time if first is None else first
                seconds = last + step if time is None or first is None else time - first
                self.losses.gaps += seconds - last if seconds - last > _GAP else 0
                last = seconds
                pixels = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                yield Shown(last, turner(pixels, frame))

    def _hand_over(self, what: Shown | Exception | None) -> None:
        """Wait until there is room; a live stream makes it by dropping the oldest frame."""
        while not self._over.is_set():
            try:
                self._ready.put(what, timeout=0.0 if self.live else 0.2)
            except queue.Full:
                if self.live:
                    self._drop()
            else:
                return

    def _drop(self) -> None:
        try:
            self._ready.get_nowait()
        except queue.Empty:
            return
        self.losses.dropped += 1


def _require_whole(container: Any, seconds: float | None) -> None:
    """Raise BrokenClip for a stream that announces how long it is, and ends before."""
    announced = (container.duration or 0) / 1e6
    if seconds is not None and announced - seconds > max(_GAP, 0.02 * announced):
        raise BrokenClip(f"it announces {announced:.1f} s")


def _open(name: str, stall: float, decoding: DecodeSettings) -> tuple[Any, Any]:
    """The container and its video stream."""
    if name == STDIN:
        if sys.stdin is not None and sys.stdin.isatty():
            raise UserError(
                "standard input is a terminal", expected="a video: ffmpeg ... -f matroska - | tinkit watch ..."
            )
        return open_live("pipe:0", None, stall, decoding.max_pixels)
    if _ADDRESS.match(name):
        return open_live(name, None, stall, decoding.max_pixels)
    if _CAMERA.fullmatch(name) and not Path(name).is_file():
        form, path = _CAMERAS.get(sys.platform, ("v4l2", "/dev/video{}"))
        device = name if name.startswith("/") else path.format(name)
        if device.startswith("/") and not Path(device).exists():
            raise UserError(f"no camera {device}", expected="a camera such as /dev/video0, a video file, or -")
        return open_live(device, form, stall, decoding.max_pixels)
    if not Path(name).is_file():
        raise UserError(f"no such file: {name}", expected="a video file, a camera such as 0, an address, or -")
    return open_live(f"file:{name}", None, stall, decoding.max_pixels)
