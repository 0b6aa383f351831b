"""The clips of a synthetic challenge: each drawn from the seed, its split and its number alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.layouts.layout import Split
from tinkit.data.synth.actions import LAGS, MOTIONS, ActionSet
from tinkit.data.synth.imitations import IMITATIONS, ClipName, SynthLayout
from tinkit.data.synth.scenes import SynthClip, draw_scene, seeded_rng
from tinkit.errors import UsageError

_NUMBER_OF_LABELS = (0.6, 0.3, 0.1)  # chances of one, two and three labels in a multi-label clip
_DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_CLIPS_A_SOURCE = 2
# Something-Something's ids are numbers; every split has a million of its own.
_FIRST_NUMBERS: Mapping[Split, int] = MappingProxyType({"train": 1_000_000, "val": 2_000_000, "test": 3_000_000})


@dataclass(frozen=True)
class SynthSpec:
    """What makes a synthetic challenge what it is: the same numbers give the same clips.

    ``clips``, ``val`` and ``test`` count the clips of the splits; ``size`` is the frame's height in pixels (even, from
    32); its width is 5/4 of that. ``sound``: clips have the sound of :mod:`tinkit.data.synth.sounds`. ``lags``: the
    actions are those of :mod:`tinkit.data.synth.lags`.
    """

    layout: SynthLayout
    clips: int = 1200
    val: int = 300
    test: int = 300
    seed: int = 0
    size: int = 64
    frames: int = 24
    sound: bool = False
    lags: bool = False

    def __post_init__(self) -> None:
        if min(self.clips, self.val, self.test) < 1:
            raise UsageError("a split has no clips", expected="--clips, --val and --test of 1 or more")
        if self.size < 32 or self.size % 2 or self.size > 1024:
            raise UsageError(f"--size {self.size}", expected="an even number of pixels from 32 to 1024")
        if not 8 <= self.frames <= 1000:
            raise UsageError(f"--frames {self.frames}", expected="8 to 1000")
        if self.sound and LAYOUTS[self.layout].media == "frames":
            raise UsageError(
                f"--sound: a clip of {self.layout} is a folder of images, which has none", expected="mmit or sthv2"
            )

        if self.sound and self.lags:
            raise UsageError("--sound with --lags: sound would tell the actions", expected="one of the two")

    @property
    def actions(self) -> ActionSet:
        """The classes."""
        return LAGS if self.lags else MOTIONS

    def count(self, split: Split) -> int:
        """How many clips ``split`` has."""
        return {"train": self.clips, "val": self.val, "test": self.test}[split]


def draw_clip(spec: SynthSpec, split: Split, number: int, pool: np.ndarray, targets: np.ndarray) -> SynthClip:
    """Clip ``number`` (from 0) of ``split``. ``pool`` are the digit images it may show, ``targets`` what they show.

    Two neighbours in number are cut from one source, and share its background.
    """
    source = number // _CLIPS_A_SOURCE
    rng = seeded_rng(spec.seed, split, number)
    several = LAYOUTS[spec.layout].task == "multi-label"
    count = 1 + int(rng.choice(3, p=_NUMBER_OF_LABELS)) if several else 1
    actions = tuple(int(action) for action in rng.choice(len(spec.actions), count, replace=False))
    texture_seed = int(seeded_rng(spec.seed, split, "source", source).integers(2**31))
    scene = draw_scene(
        rng, actions, pool, size=spec.size, frames=spec.frames, texture_seed=texture_seed, among=spec.actions
    )
    digit_name = _DIGIT_NAMES[int(targets[scene.digits[0].image])]
    name = ClipName(
        number=_FIRST_NUMBERS[split] + number,
        video=_video_name(spec.seed, split, source),
        second=1 + 3 * (number % _CLIPS_A_SOURCE),
        digit=digit_name,
    )
    return SynthClip(IMITATIONS[spec.layout].clip_id(name), scene, digit_name)


def _video_name(seed: int, split: Split, source: int) -> str:
    """Eleven characters, as the sites name their videos."""
    return hashlib.blake2b(f"{seed}/{split}/{source}".encode(), digest_size=6).hexdigest()[:11]
