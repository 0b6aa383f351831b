"""Frames, and sound, to files as the official sets pack them: mp4, webm, or a folder of jpg images."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinkit.files.atomic import atomic_path

FRAMES_PER_SECOND = 12


@dataclass(frozen=True)
class Sound:
    """One channel: ``wave`` (samples,) float32, -1 to 1, ``rate`` of them a second."""

    wave: np.ndarray
    rate: int


def write_mp4(path: Path, frames: np.ndarray, sound: Sound | None = None) -> None:
    """Write (F, H, W, 3) uint8 RGB, H and W even, as mp4: H.264 where that encoder exists, else MPEG-4 part 2; AAC."""
    import av

    if "libx264" in av.codecs_available:
        codec = _Codec("libx264", {"preset": "ultrafast", "crf": "20"}, None, "aac")
    else:
        codec = _Codec("mpeg4", {}, 2_000_000, "aac")
    _encode(path, frames, sound, codec)


def write_webm(path: Path, frames: np.ndarray, sound: Sound | None = None) -> None:
    """Write (F, H, W, 3) uint8 RGB, H and W even, as webm with VP9 and Opus."""
    options = {"deadline": "realtime", "cpu-used": "8", "crf": "24"}
    _encode(path, frames, sound, _Codec("libvpx-vp9", options, 0, "libopus"))


def write_jpg_folder(path: Path, frames: np.ndarray, sound: Sound | None = None) -> None:
    """Write (F, H, W, 3) uint8 RGB as ``path/00001.jpg`` and so on. The folder appears when it is whole.

    Raises ValueError for sound, of which images have none.
    """
    if sound is not None:
        raise ValueError("a folder of images has no sound")
    import simplejpeg

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        for number, frame in enumerate(frames, 1):
            data = simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=90, colorspace="RGB")
            (temporary / f"{number:05d}.jpg").write_bytes(data)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _Codec:
    """How frames are encoded, and which codec sound has."""

    name: str
    options: dict[str, str]
    bit_rate: int | None
    sound: str


def _encode(path: Path, frames: np.ndarray, sound: Sound | None, codec: _Codec) -> None:
    import av
    from av.video.stream import VideoStream

    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container:
        rate = Fraction(FRAMES_PER_SECOND)
        stream = cast(VideoStream, container.add_stream(codec.name, rate=rate, options=codec.options))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # one clip a process; and the same bytes on any machine
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        # all streams must be there before the first packet, which writes the header
        listened: Any = None if sound is None else container.add_stream(codec.sound, rate=sound.rate, layout="mono")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
        if sound is not None:
            container.mux([packet for frame in _sound_frames(sound, listened) for packet in listened.encode(frame)])
            container.mux(listened.encode())


def _sound_frames(sound: Sound, stream: Any) -> Iterator[Any]:
    """The sound in frames of the format and the length that its encoder wants."""
    import av

    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.wave[None], np.float32), format="fltp", layout="mono")
    whole.sample_rate, whole.pts, whole.time_base = sound.rate, 0, Fraction(1, sound.rate)
    codec = stream.codec_context
    cutter = av.AudioResampler(codec.format.name, "mono", sound.rate, frame_size=codec.frame_size or 1024)
    yield from cutter.resample(whole)
    yield from cutter.resample(None)
