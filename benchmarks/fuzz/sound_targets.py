"""Files with sound, alone and beside pictures: probed, heard at several places, and made spectrograms of."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np

from benchmarks.fuzz.mutate import changed
from benchmarks.fuzz.place import Place, Said, WrongFrameError
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.probe.clip import HowToProbe, probe_clip
from tinkit.data.sound.reader import SoundReader
from tinkit.data.sound.segments import train_segments

_SECONDS, _HEARD, _RATE = 3, 4000, 16_000
_KINDS = (
    ("wav", "pcm_s16le", "s16", ""),
    ("wav", "pcm_f32le", "flt", ""),
    ("flac", "flac", "s16", ""),
    ("mp3", "libmp3lame", "fltp", ""),
    ("ogg", "libopus", "flt", ""),
    ("mp4", "aac", "fltp", "mpeg4"),
    ("mp4", "aac", "fltp", ""),
    ("webm", "libopus", "flt", "libvpx"),
    ("avi", "pcm_s16le", "s16", "mpeg4"),
)
"""Containers, codecs of sound, their samples, and codecs of the pictures beside it, if any."""

_PARTS = ((0, None), (10, 20), (0, 1), (60, 10**6))
"""What is heard: all, or a part by the times of the pictures."""

_CLIP = ClipConfig(modality="audio", num_segments=2, audio_seconds=0.5)


def sound(rng: random.Random, place: Place) -> Said:
    """A file with sound: probed; windows of it and spectrograms read, also of a part by the times of its pictures."""
    if "sound" not in place.kept:
        place.kept["sound"] = [(kind[0], bool(kind[3]), _made(*kind)) for kind in _KINDS]
    own: list[tuple[str, bool, bytes]] = place.kept["sound"]
    suffix, seen, data = rng.choice(own)
    file = place.root / f"heard.{suffix}"
    file.write_bytes(changed(rng, data, [other for *_, other in own]))
    probe_clip(HowToProbe(str(place.root), "video", ""), file.name)
    start, frames = rng.choice(_PARTS if seen else _PARTS[:1])
    said: Said = "refused"
    with suppress(BrokenClip), SoundReader(file, start, frames) as reader:
        last = max(0.0, reader.seconds - _HEARD / _RATE)
        waves = reader.read([0.0, last / 2, last], _HEARD, _RATE)
        if waves.shape != (3, _HEARD) or not np.isfinite(waves).all():
            raise WrongFrameError(f"waves {waves.shape}, of which {np.isfinite(waves).mean():.0%} are finite")
        said = "read"
    with suppress(BrokenClip):
        train_segments(file, (start, frames), _CLIP, DecodeSettings(), [np.random.default_rng(0)])
    return said


def _made(container: str, codec: str, samples: str, pictures: str) -> bytes:
    """Three seconds of a tone that rises, in two channels, perhaps beside as many of pictures."""
    target = io.BytesIO()
    rate = 48_000 if codec == "libopus" else 44_100
    times = np.arange(_SECONDS * rate) / rate
    wave = np.stack([np.sin(2 * np.pi * (300 + 200 * times) * times)] * 2).astype(np.float32) / 2
    with av.open(target, "w", format=container) as file:
        film: Any = file.add_stream(pictures, rate=25) if pictures else None
        stream: Any = file.add_stream(codec, rate=rate, layout="stereo")
        if film is not None:
            film.width, film.height, film.pix_fmt = 48, 32, "yuv420p"
            for number in range(25 * _SECONDS):
                picture = np.full((32, 48, 3), 3 * number % 256, np.uint8)
                file.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(film.encode())
        whole = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
        size = stream.codec_context.frame_size or 1024
        cutter = av.AudioResampler(samples, "stereo", rate, frame_size=size)
        for frame in [*cutter.resample(whole), *cutter.resample(None)]:
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return target.getvalue()
