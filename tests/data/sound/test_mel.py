"""Log-mel spectrograms against the published formulas, written out in float64, and against tones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tinkit.data.config.spectrogram import SpectrogramSettings
from tinkit.data.sound.mel import FLOOR, TOP, mel_filters, spectrograms, transform_length

SETTINGS = (
    SpectrogramSettings(),
    SpectrogramSettings(rate=8000, window=32, hop=8, mels=23, seconds=0.4),
    SpectrogramSettings(rate=44_100, window=10, hop=5, mels=64, seconds=0.2),
)


def slow_filters(rate: int, mels: int, transform: int) -> np.ndarray:
    """HTK's triangles, band by band and bin by bin (torchaudio's ``melscale_fbanks``, ``norm=None``)."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    points = [700 * (10 ** (top * i / (mels + 1) / 2595) - 1) for i in range(mels + 2)]
    found = np.zeros((mels, transform // 2 + 1))
    for band in range(mels):
        for place in range(transform // 2 + 1):
            hertz = place * rate / transform
            up = (hertz - points[band]) / (points[band + 1] - points[band])
            down = (points[band + 2] - hertz) / (points[band + 2] - points[band + 1])
            found[band, place] = max(0.0, min(up, down))
    return found


@pytest.mark.parametrize("settings", SETTINGS)
def test_filters_are_the_published_ones_and_none_is_empty(settings: SpectrogramSettings) -> None:
    transform = transform_length(settings)
    found = mel_filters(settings.rate, settings.mels, transform)
    np.testing.assert_allclose(found, slow_filters(settings.rate, settings.mels, transform), atol=1e-6)
    assert found.any(axis=1).all()
    assert transform >= settings.window_samples


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_spectrogram_is_what_the_definition_says(settings: SpectrogramSettings) -> None:
    rng = np.random.default_rng(0)
    waves = (rng.normal(size=(2, settings.samples)) * [[0.3], [0.001]]).astype(np.float32)
    found = spectrograms(waves, settings)
    assert found.shape == (2, settings.mels, settings.columns)
    size, transform = settings.window_samples, transform_length(settings)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    filters = slow_filters(settings.rate, settings.mels, transform)
    for row in range(2):
        for column in (0, 7, settings.columns - 1):
            part = waves[row, column * settings.hop_samples :][:size].astype(np.float64)
            power = np.abs(np.fft.rfft(part * window, transform)) ** 2 / (window.sum() / 2) ** 2
            decibels = np.clip(10 * np.log10(filters @ power + 1e-20), FLOOR, TOP)
            wanted = 255 * (decibels - FLOOR) / (TOP - FLOOR)
            assert np.abs(found[row, ::-1, column] - wanted).max() <= 0.51


def test_a_full_tone_is_at_0_decibels_in_the_band_of_its_pitch_and_silence_is_black() -> None:
    settings = SpectrogramSettings()
    time = np.arange(settings.samples) / settings.rate
    waves = np.stack([np.sin(2 * np.pi * 3000 * time), 0 * time]).astype(np.float32)
    tone, silence = spectrograms(waves, settings)
    assert not silence.any()
    points = 700 * (10 ** (np.arange(1, 129) * math.log10(1 + 8000 / 700) / 129) - 1)
    assert 127 - tone[:, 60].argmax() == np.abs(points - 3000).argmin()
    assert int(tone.max()) == pytest.approx(255 * (0 - FLOOR) / (TOP - FLOOR), abs=2.55 * 6)  # a band sums several bins


def test_the_number_of_threads_changes_no_bit() -> None:
    waves = np.random.default_rng(1).normal(size=(4, SETTINGS[0].samples)).astype(np.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(spectrograms(waves, SETTINGS[0]))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
