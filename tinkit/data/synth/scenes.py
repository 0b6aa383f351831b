"""What happens in a synthetic clip, as numbers for every frame; a scene played backwards is those numbers reversed.

A scene is drawn for the forward motion of every action (right, down, approach, ...); an action that is another played
backwards reverses the tracks of its digit. So the two draw from one distribution of frames, and nothing but their
order tells which it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from tinkit.data.layouts.layout import Split
from tinkit.data.synth.actions import MOTIONS, Action, ActionSet, Motion
from tinkit.data.synth.lags import colours_of, hues, lag_of

Region = tuple[float, float, float, float]  # left, top, width, height in pixels


@dataclass(frozen=True)
class Digit:
    """A moving digit. ``image`` is its place in scikit-learn's ``load_digits``; the tracks are (F,) float64.

    ``x``, ``y``: centre in pixels; ``side``: of its square in pixels; ``angle``: radians, clockwise on the screen;
    ``opacity``: 0 to 1; ``colour``, (F, 3): RGB, 0 to 255. ``lag``: frames after which the colour comes back, for an
    action that is told by it.
    """

    action: int
    image: int
    colour: np.ndarray
    x: np.ndarray
    y: np.ndarray
    side: np.ndarray
    angle: np.ndarray
    opacity: np.ndarray
    lag: float | None = None


@dataclass(frozen=True)
class Scene:
    """A clip before it is drawn. ``pan`` (F, 2) int: where in its texture the background's corner is (x, y)."""

    width: int
    height: int
    texture_seed: int
    pan: np.ndarray
    digits: tuple[Digit, ...]

    @property
    def frames(self) -> int:
        """How many frames the scene has."""
        return len(self.pan)

    @property
    def labels(self) -> tuple[int, ...]:
        """The class indices, sorted."""
        return tuple(sorted(digit.action for digit in self.digits))


@dataclass(frozen=True)
class SynthClip:
    """A clip of the challenge: its official id, what happens in it, and which digit is seen first."""

    id: str
    scene: Scene
    digit_name: str

    @property
    def labels(self) -> tuple[int, ...]:
        """The class indices in the order of the category file's lines, sorted."""
        return self.scene.labels


def seeded_rng(*parts: int | str) -> np.random.Generator:
    """A generator that depends on ``parts`` alone: never on the order or the process in which clips are made."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def digit_pools(seed: int, count: int) -> dict[Split, np.ndarray]:
    """Disjoint sets of the ``count`` digit images for the splits: 60% train, 20% val, 20% test."""
    order = seeded_rng(seed, "digits").permutation(count)
    first, second = count * 6 // 10, count * 8 // 10
    return {"train": order[:first], "val": order[first:second], "test": order[second:]}


def draw_scene(
    rng: np.random.Generator,
    actions: tuple[int, ...],
    pool: np.ndarray,
    *,
    size: int,
    frames: int,
    texture_seed: int,
    among: ActionSet = MOTIONS,
) -> Scene:
    """A scene of one digit for each of ``actions`` (1 to 3, indices in ``among``), each in a region of its own.

    The frame is ``size`` pixels high and 5/4 as wide. What is drawn does not depend on whether an action or its partner
    is asked for: with the same generator, the partner's scene has the same digit with reversed tracks.
    """
    width, height = size * 5 // 4 // 2 * 2, size
    regions = _regions(rng, len(actions), width, height)
    digits = tuple(
        _draw_digit(rng, index, among[index], int(rng.choice(pool)), region, frames)
        for index, region in zip(actions, regions, strict=True)
    )
    start, speed = rng.integers(0, 256, 2), rng.uniform(-0.25, 0.25, 2) * size / 64
    middle = (frames - 1) / 2
    pan = np.rint(start + speed * (np.arange(frames)[:, None] - middle)).astype(np.int64)
    return Scene(width, height, texture_seed, pan, digits)


def _regions(rng: np.random.Generator, count: int, width: int, height: int) -> list[Region]:
    """``count`` boxes that share the frame, in random order; the sides, which crops cut off, stay free."""
    margin = 0.4 * (width - height)
    left, inner = margin, width - 2 * margin
    halves = [(left, 0.0, inner / 2, float(height)), (left + inner / 2, 0.0, inner / 2, float(height))]
    if count == 1:
        return [(left, 0.0, inner, float(height))]
    if count == 2:
        if rng.random() < 0.5:
            halves = [(left, 0.0, inner, height / 2), (left, height / 2, inner, height / 2)]
        boxes = halves
    else:
        split = int(rng.integers(2))
        x, y, w, h = halves[split]
        boxes = [halves[1 - split], (x, y, w, h / 2), (x, y + h / 2, w, h / 2)]
    return [boxes[index] for index in rng.permutation(count)]


def _draw_digit(rng: np.random.Generator, index: int, action: Action, image: int, region: Region, frames: int) -> Digit:
    """One digit that does ``action``, the class ``index``, within ``region``."""
    left, top, width, height = region
    short, long = sorted((width, height))
    # In a narrow region the digit takes more of it, so that it stays large enough to be seen.
    side = short * (rng.uniform(0.62, 0.78) if short > 0.8 * long else rng.uniform(0.8, 0.95))
    hue = rng.dirichlet((1.0, 1.0, 1.0))
    still = np.ones(frames)
    digit = Digit(
        action=index,
        image=image,
        colour=np.tile(255 * (0.6 + 0.4 * hue / hue.max()), (frames, 1)),
        x=still * (left + width * rng.uniform(0.42, 0.58)),
        y=still * (top + height * rng.uniform(0.42, 0.58)),
        side=still * side,
        angle=still * rng.uniform(-0.3, 0.3),
        opacity=still,
    )
    moved = _moved(rng, digit, action.motion, region)
    return _reversed_tracks(moved) if action.backwards else moved


def _moved(rng: np.random.Generator, digit: Digit, motion: Motion, region: Region) -> Digit:
    """``digit`` with the tracks of ``motion``, forwards: right, down, approach, clockwise, appear."""
    _, _, width, height = region
    frames = len(digit.x)
    path = np.linspace(-0.5, 0.5, frames)  # the whole clip, centred
    wave = np.arange(frames) / frames * rng.uniform(2.6, 3.4) + rng.uniform()
    reach = rng.uniform(0.62, 0.8)
    match motion:
        case "horizontal":
            return replace(digit, x=digit.x + path * reach * width)
        case "vertical":
            return replace(digit, y=digit.y + path * reach * height)
        case "scale":
            largest = min(digit.side[0] * 1.25, width, height)
            return replace(digit, side=largest * np.geomspace(rng.uniform(0.35, 0.45), 1.0, frames))
        case "turn":
            return replace(digit, angle=rng.uniform(0, 2 * np.pi) + path * rng.uniform(0.9, 1.3) * np.pi)
        case "fade":
            middle, length = rng.uniform(-0.12, 0.12), rng.uniform(0.55, 0.75)
            return replace(digit, opacity=np.clip((path - middle) / length + 0.5, 0.0, 1.0))
        case "shake":
            return replace(digit, x=digit.x + 0.2 * digit.side * np.sin(2 * np.pi * wave))
        case "blink":
            return replace(digit, opacity=0.5 + 0.5 * np.clip(3 * np.sin(2 * np.pi * wave), -1, 1))
        case "two" | "half" | "speed":
            return _recoloured(rng, digit, motion)


def _recoloured(rng: np.random.Generator, digit: Digit, motion: Motion) -> Digit:
    """``digit`` with a colour that comes back after the lag of ``motion``, whatever that is as large as it is fast.

    It sways once in two of the lags that its speed would say.
    """
    frames, speed = len(digit.x), rng.uniform()
    side = digit.side * (0.65 + 0.35 * speed)
    wave = np.arange(frames) / (2 * lag_of("speed", speed)) + rng.uniform()
    lag = lag_of(motion, speed)
    x = digit.x + 0.1 * side * np.sin(2 * np.pi * wave)
    return replace(digit, x=x, side=side, colour=colours_of(hues(rng, lag, frames)), lag=lag)


def _reversed_tracks(digit: Digit) -> Digit:
    return replace(
        digit,
        x=digit.x[::-1],
        y=digit.y[::-1],
        side=digit.side[::-1],
        angle=digit.angle[::-1],
        opacity=digit.opacity[::-1],
        colour=digit.colour[::-1],
    )
