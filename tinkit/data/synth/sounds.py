"""What a synthetic clip sounds like: a tone for each digit whose action has a direction in time, over faint noise.

The tone is low where the action runs forwards and high where it runs backwards. So sound tells an action from its
partner, which single frames cannot, and not which of the motions it is, which they can: the two together know both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinkit.data.synth.actions import MOTIONS
from tinkit.data.synth.media import FRAMES_PER_SECOND
from tinkit.data.synth.scenes import SynthClip, seeded_rng

RATE = 16_000
"""Samples a second."""

_LOW, _HIGH = (250.0, 600.0), (1500.0, 3000.0)  # Hz, from which a tone's is drawn
_NOISE = 0.01


def sound_of(clip: SynthClip, seed: int) -> NDArray[np.float32]:
    """(samples,) float32, -1 to 1, as long as the frames: a function of the clip and the challenge's seed alone."""
    rng = seeded_rng(seed, clip.id, "sound")
    seconds = np.arange(round(RATE * clip.scene.frames / FRAMES_PER_SECOND)) / RATE
    wave = rng.normal(0.0, _NOISE, len(seconds))
    for digit in clip.scene.digits:
        if MOTIONS.partner(digit.action) == digit.action:
            continue
        low, high = _HIGH if MOTIONS[digit.action].backwards else _LOW
        pitch, beat, phase = rng.uniform(low, high), rng.uniform(2.0, 5.0), rng.uniform(0.0, 2 * np.pi)
        loudness = rng.uniform(0.1, 0.25) * (0.6 + 0.4 * np.sin(2 * np.pi * beat * seconds + phase))
        wave += loudness * np.sin(2 * np.pi * pitch * seconds)
    return np.clip(wave, -1.0, 1.0).astype(np.float32)
