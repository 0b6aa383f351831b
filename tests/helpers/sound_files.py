"""Files with sound that the tests make for themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25

Samples = NDArray[np.float32]


def steps(seconds: int, rate: int, first: float = 400.0, step: float = 100.0) -> Samples:
    """(1, samples): second k is a tone of ``first + k * step`` Hz."""
    time = np.arange(seconds * rate) / rate
    pitch = first + step * np.floor(time)
    return (0.5 * np.sin(2 * np.pi * pitch * time))[None].astype(np.float32)


def write_sound(
    path: Path,
    waves: Samples | None,
    rate: int = 16_000,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    *,
    frames: int = 0,
    times: list[int] | None = None,
    delay: float = 0.0,
    video: str = "mpeg4",
) -> Path:
    """A file with the sound ``waves`` (channels, samples), if any, from ``delay`` seconds on, and ``frames`` pictures.

    ``times`` gives each picture's time in 25ths of a second.
    """
    with av.open(str(path), "w") as container:
        pictures: Any = container.add_stream(video, rate=FPS) if frames else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound: Any = None if waves is None else container.add_stream(codec, rate=rate, layout=layout)
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, np.uint8), format="rgb24")
            picture.pts = number if times is None else times[number]
            container.mux(pictures.encode(picture))
        if pictures:
            container.mux(pictures.encode())
        if waves is not None:
            _mux_sound(container, sound, waves, rate, layout, delay)
    return path


def _mux_sound(container: Any, stream: Any, waves: Samples, rate: int, layout: str, delay: float) -> None:
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(waves, np.float32), format="fltp", layout=layout)
    whole.sample_rate, whole.pts, whole.time_base = rate, round(delay * rate), Fraction(1, rate)
    codec = stream.codec_context
    cutter = av.AudioResampler(codec.format.name, layout, rate, frame_size=codec.frame_size or 1024)
    for frame in [*cutter.resample(whole), *cutter.resample(None)]:
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def pitch_of(wave: Samples, rate: int) -> float:
    """The frequency of a tone, in Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    return float(spectrum.argmax()) * rate / (8 * len(wave))
