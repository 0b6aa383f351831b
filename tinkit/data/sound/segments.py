"""The segments of a clip of sound: windows drawn as frames are, each the image of its spectrogram.

A clip is the columns of the spectrogram that its sound has room for, and a segment as many consecutive ones as
``clip.audio_seconds`` says: which are drawn by the rules of :mod:`tinkit.data.sampling.frames` for segments of several
frames.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinkit.data.config.spectrogram import SpectrogramSettings
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import Note
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import frames as sampling
from tinkit.data.sound.mel import spectrograms
from tinkit.data.sound.reader import SoundReader

Window = tuple[int, int | None]
"""The first frame of a clip in its file, and how many frames it has; (0, None) is the whole file."""


def train_segments(
    path: Path, window: Window, clip: ClipConfig, decoding: DecodeSettings, draws: list[np.random.Generator]
) -> tuple[NDArray[np.uint8], Collection[Note]]:
    """Segments (R, T, mels, columns, 1), one draw for each of R generators, and notes.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`.
    """
    settings = clip.spectrogram
    with _open(path, window, settings, decoding) as reader:
        rule = (clip.sampling, _columns(reader, settings), clip.num_segments, clip.stride)
        firsts = [sampling.train_frames(*rule, rng, short=clip.short, length=settings.columns) for rng in draws]
        return _images(reader, np.stack(firsts), settings), reader.notes


def test_segments(
    path: Path,
    window: Window,
    clip: ClipConfig,
    views: ViewConfig,
    decoding: DecodeSettings,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], Collection[Note]]:
    """The views (K, T, mels, columns, 1) of a clip, and notes. Raises as :func:`train_segments` does."""
    settings, samples = clip.spectrogram, views.num_segments or clip.num_segments
    with _open(path, window, settings, decoding) as reader:
        rule = (views.sampling, _columns(reader, settings), samples, views.parsed.temporal, views.stride)
        return _images(reader, sampling.test_frames(*rule, rng, length=settings.columns), settings), reader.notes


def _open(path: Path, window: Window, settings: SpectrogramSettings, decoding: DecodeSettings) -> SoundReader:
    return SoundReader(path, *window, decoding, least=settings.window_samples / settings.rate)


def _columns(reader: SoundReader, settings: SpectrogramSettings) -> int:
    """How many columns the spectrogram of all the sound has."""
    spare = int(reader.seconds * settings.rate) - settings.window_samples
    return 1 + max(0, spare) // settings.hop_samples


def _images(reader: SoundReader, firsts: sampling.Indices, settings: SpectrogramSettings) -> NDArray[np.uint8]:
    """(R, T) first columns to (R, T, mels, columns, 1)."""
    starts = (firsts.ravel() * (settings.hop_samples / settings.rate)).tolist()
    waves = reader.read(starts, settings.samples, settings.rate)
    return spectrograms(waves, settings).reshape(*firsts.shape, settings.mels, settings.columns, 1)
