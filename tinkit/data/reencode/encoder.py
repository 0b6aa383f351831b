"""One video encoded: the frames that tinkit reads, in order, none left out; and the sound, copied or encoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from pydantic import Field

from tinkit.data.decode.clip_reader import BrokenClip, Frame, NoFrames
from tinkit.data.decode.libav import open_video
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.video import VideoReader
from tinkit.data.packed.index import ScaleSettings
from tinkit.data.packing.encode import scaled
from tinkit.data.packing.parts import Row
from tinkit.data.sampling.resize import resize
from tinkit.errors import UserError

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""What is tried, best first: not every build of PyAV has the first."""
_COPIED = frozenset(("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"))
"""Sound that an mp4 may hold as it is."""
_USUAL_RATE = 25
_MOST_RATE = 1000.0
_TICKS = 90_000


class VideoSettings(ScaleSettings):
    """How videos are encoded."""

    gop: int = Field(16, ge=1, le=1000)
    """Frames from one keyframe to the next."""
    crf: int = Field(20, ge=0, le=51)
    """x264's quality: less is better, and larger."""
    audio: Literal["keep", "drop"] = "keep"
    """Whether the sound is kept."""


def encoder_here() -> str:
    """The encoder that this build of PyAV has. Raises :class:`~tinkit.errors.UserError` for none."""
    for name in ENCODERS:
        try:
            av.codec.Codec(name, "w")
        except ValueError:  # UnknownCodecError
            continue
        return name
    raise UserError(f"this build of PyAV has none of the encoders {', '.join(ENCODERS)}", fix="pip install av")


def encode_video(source: Path, target: Path, settings: VideoSettings, decoding: DecodeSettings) -> Row:
    """Encode ``source`` as the mp4 ``target``, and read that: what its note says.

    Frames are numbered as tinkit numbers them, turned as ``decoding`` says, and shown at the source's mean rate. Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a source that cannot be read to its end.
    """
    with VideoReader(source, decoding=decoding) as reader:
        if reader.num_frames < 1:
            raise NoFrames("no frame found")
        rate = reader.facts().rate
        rate = rate if 0 < rate <= _MOST_RATE else _USUAL_RATE
        pictures = (_even(scaled(frame, settings)) for _, frame in reader.frames(range(reader.num_frames)))
        _write(source, target, pictures, rate, settings)
        count, notes = reader.num_frames, sorted(reader.notes)
    with VideoReader(target) as written:
        keys = written.facts().keyframes
        apart = int(np.diff([*keys, written.num_frames]).max())
        if written.num_frames != count or apart > settings.gop:
            raise BrokenClip(
                f"encoded it has {written.num_frames} frames of {count}, and a keyframe every {apart} at worst"
            )
        first = written.read([0])[0]
        height, width = first.shape[:2]
    return {"frames": count, "width": width, "height": height, "rate": rate, "notes": notes}


def _write(source: Path, target: Path, pictures: Iterator[Frame], rate: float, settings: VideoSettings) -> None:
    first = next(pictures)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _video_stream(container, first, rate, settings)
        sound = _Sound(source, container) if settings.audio == "keep" else None
        try:
            shape = first.shape
            for number, picture in enumerate(_chain(first, pictures)):
                if picture.shape != shape:
                    raise BrokenClip("frames of different sizes")
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                frame.time_base = stream.codec_context.time_base
                container.mux(stream.encode(frame))
                if sound is not None:
                    sound.mux_until((number + 1) / rate)
            container.mux(stream.encode(None))
            if sound is not None:
                sound.mux_until(None)
        finally:
            if sound is not None:
                sound.close()


def _video_stream(container: Any, first: Frame, rate: float, settings: VideoSettings) -> Any:
    name = encoder_here()
    exact = Fraction(rate).limit_denominator(1001 * 30)
    options = {"g": str(settings.gop), "keyint_min": "1", "sc_threshold": "0"}
    if name == "libx264":
        # x264's tree of macroblocks reads what lies in memory beside narrow pictures: the bytes would differ each time
        options |= {"crf": str(settings.crf), "preset": "medium", "mbtree": "0"}
    stream = add_pictures(container, name, first.shape[:2], exact, 1 / exact, options)
    stream.codec_context.thread_count = 1  # the processes are the parallelism
    return stream


def add_pictures(
    container: Any, name: str, size: tuple[int, ...], rate: Fraction | int, tick: Fraction, options: dict[str, str]
) -> Any:
    """A new stream of ``container`` for pictures of ``size`` (height, width), both even, by the encoder ``name``.

    The times of its pictures are multiples of ``tick`` seconds.
    """
    stream = container.add_stream(name, rate=rate, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.time_base = tick
    if name == "mpeg4":  # which would take a fixed rate for every size
        codec.bit_rate = stream.height * stream.width * 8
    return stream


class _Sound:
    """The first sound of a file on its way into another: copied where an mp4 can hold it, else encoded as AAC.

    Its times are those of the source, less the time of the source's first picture.
    """

    def __init__(self, source: Path, target: Any) -> None:
        self._input, video = open_video(f"file:{source}")
        self._target = target
        self._begin = float((video.start_time or 0) * (video.time_base or 0))
        streams = self._input.streams.audio
        self._stream = streams[0] if streams and streams[0].codec_context is not None else None
        self._waiting: Any = None
        self._out: Any = None
        self._copied = False
        if self._stream is None:
            return
        self._copied = self._stream.codec_context.name in _COPIED
        if self._copied:
            self._out = target.add_stream_from_template(self._stream)
        else:
            self._out = target.add_stream("aac", rate=self._stream.rate or 44_100)
        self._packets = self._input.demux(self._stream)
        self._frames = 0

    def mux_until(self, seconds: float | None) -> None:
        """Write the sound up to ``seconds`` of the video, or all that is left."""
        if self._stream is None:
            return
        while (packet := self._waiting or next(self._packets, None)) is not None:
            self._waiting = None
            at = None if packet.pts is None else float(packet.pts * packet.time_base) - self._begin
            if at is not None and seconds is not None and at > seconds:
                self._waiting = packet
                return
            if self._copied:
                self._copy(packet, at)
            else:
                self._encode(packet)
        if seconds is None and not self._copied:
            self._target.mux(self._out.encode(None))

    def _copy(self, packet: Any, at: float | None) -> None:
        if packet.size == 0 or at is None or at < 0 or packet.dts is None:
            return
        shift = round(self._begin / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._out
        self._target.mux(packet)

    def _encode(self, packet: Any) -> None:
        for frame in packet.decode():
            frame.pts = None  # it follows the one before
            self._target.mux(self._out.encode(frame))

    def close(self) -> None:
        """Close the source."""
        self._input.close()


def _chain(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


def _even(frame: Frame) -> Frame:
    """``frame`` with even sides, which halved colours need: an odd one is resized by a pixel."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(frame)
    return resize(frame, max(2, width - width % 2), max(2, height - height % 2))
