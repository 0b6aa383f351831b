"""What a segment of sound is: the numbers of its log-mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SpectrogramSettings:
    """What the keys ``audio_...`` of ``[clip]`` say: ``rate`` samples a second, ``window`` and ``hop`` in milliseconds,
    ``mels`` bands, ``seconds`` a segment.
    """

    rate: int = 16_000
    window: float = 25.0
    hop: float = 10.0
    mels: int = 128
    seconds: float = 1.28

    @property
    def window_samples(self) -> int:
        """Samples that a column of the spectrogram looks at."""
        return max(1, round(self.rate * self.window / 1000))

    @property
    def hop_samples(self) -> int:
        """Samples from one column to the next."""
        return max(1, round(self.rate * self.hop / 1000))

    @property
    def columns(self) -> int:
        """Columns of a segment: its width as an image, whose height is ``mels``."""
        return max(1, round(self.seconds * self.rate / self.hop_samples))

    @property
    def samples(self) -> int:
        """Samples that a segment's columns look at, from the first of the first to the last of the last."""
        return (self.columns - 1) * self.hop_samples + self.window_samples
