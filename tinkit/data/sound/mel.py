"""From waveforms to log-mel spectrograms as images of 8 bits.

The mel scale is O'Shaughnessy's (Speech Communication, 1987), ``2595 log10(1 + f / 700)``, as HTK has it; band i is a
triangle of height 1 over the frequencies m(i - 1), m(i), m(i + 1) of points that lie evenly in mel from 0 Hz to half
the rate (Davis and Mermelstein 1980, doi 10.1109/TASSP.1980.1163420). What a band holds is the power of the
short-time Fourier transform, weighted by its triangle, in decibels: 0 dB is the power that a sine of amplitude 1 has in
the transform's nearest bin. An image's value is 0 at -90 dB and below, 255 at 10 dB and above: 0.39 dB a level.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tinkit.data.config.spectrogram import SpectrogramSettings

FLOOR, TOP = -90.0, 10.0
"""Decibels that the values 0 and 255 stand for."""


def hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies as pitch: about evenly spaced to a listener."""
    return 2595.0 * np.log10(1.0 + hertz / 700.0)


def mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of :func:`hertz_to_mel`."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def mel_filters(rate: int, mels: int, transform: int) -> NDArray[np.float32]:
    """(mels, transform // 2 + 1): the weight of each bin of a transform of ``transform`` samples in each band."""
    bins = np.arange(transform // 2 + 1) * (rate / transform)
    points = mel_to_hertz(np.linspace(0.0, hertz_to_mel(np.array(rate / 2)), mels + 2))
    low, middle, high = points[:-2, None], points[1:-1, None], points[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def transform_length(settings: SpectrogramSettings) -> int:
    """Samples of the transform: the power of two from the window on at which no band lies between two bins."""
    length = 1 << (settings.window_samples - 1).bit_length()
    while not mel_filters(settings.rate, settings.mels, length).any(axis=1).all():
        length *= 2
    return length


def spectrograms(waves: NDArray[np.float32], settings: SpectrogramSettings) -> NDArray[np.uint8]:
    """(T, samples), -1 to 1, to (T, mels, columns): the lowest band is the bottom row.

    Column c looks at ``window_samples`` from ``c * hop_samples`` on, through a Hann window. The result does not depend
    on the number of threads.
    """
    bank = _bank(settings)
    left = (bank.length - settings.window_samples) // 2
    padded = np.pad(waves, ((0, 0), (left, bank.length - settings.window_samples - left)))
    found = torch.stft(
        torch.from_numpy(padded),
        bank.length,
        settings.hop_samples,
        settings.window_samples,
        bank.window,
        center=False,
        return_complex=True,
    ).numpy()
    power = found.real**2 + found.imag**2
    bands: Any = bank.filters @ np.moveaxis(power, 1, 0).reshape(power.shape[1], -1)
    decibels = 10.0 * np.log10(np.maximum(bands * bank.scale, 1e-20))
    levels = np.rint((np.clip(decibels, FLOOR, TOP) - FLOOR) * (255.0 / (TOP - FLOOR))).astype(np.uint8)
    return np.moveaxis(levels.reshape(settings.mels, len(waves), -1), 1, 0)[:, ::-1]


class _Bank:
    """What does not depend on the sound. The filters are sparse: a sum of few products, in one order."""

    def __init__(self, settings: SpectrogramSettings) -> None:
        self.length = transform_length(settings)
        self.window = torch.hann_window(settings.window_samples)
        self.filters = csr_array(mel_filters(settings.rate, settings.mels, self.length))
        self.scale = np.float32((2.0 / float(self.window.sum())) ** 2)


@functools.lru_cache(8)
def _bank(settings: SpectrogramSettings) -> _Bank:
    return _Bank(settings)
