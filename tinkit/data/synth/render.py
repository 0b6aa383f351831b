"""From a scene to pixels. Every frame is a function of its own numbers alone, so reversed numbers give, bit for bit,
the reversed frames.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from tinkit.data.synth.scenes import Digit, Scene, seeded_rng

_TEXTURE = 128  # side of a texture, which repeats
_GLYPH = 64  # side of a digit's enlarged image


@functools.cache
def digit_images() -> np.ndarray:
    """(1797, 64, 64) float32, 0 to 1: scikit-learn's handwritten digits, enlarged smoothly from 8x8."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.float32) / 16
    return np.clip(zoom(images, (1, _GLYPH // 8, _GLYPH // 8), order=2, grid_mode=True, mode="grid-constant"), 0, 1)


@functools.cache
def digit_targets() -> np.ndarray:
    """(1797,) int64: which digit, 0 to 9, each of the images shows."""
    from sklearn.datasets import load_digits

    return load_digits().target


def render(scene: Scene, digits: np.ndarray) -> np.ndarray:
    """(F, H, W, 3) uint8 frames of ``scene``; ``digits`` are :func:`digit_images`."""
    canvas = _background(scene)
    for digit in scene.digits:
        _draw(canvas, digit, digits[digit.image])
    return np.rint(canvas).astype(np.uint8)


def _background(scene: Scene) -> np.ndarray:
    """(F, H, W, 3) float32: a dim coloured texture that slides."""
    across, down = (-(-side // _TEXTURE) + 1 for side in (scene.width, scene.height))
    texture = np.tile(_texture(scene.texture_seed), (down, across, 1))
    corners = (scene.pan % _TEXTURE).tolist()
    return np.stack([texture[y : y + scene.height, x : x + scene.width] for x, y in corners])


def _texture(seed: int) -> np.ndarray:
    """(128, 128, 3) float32, 10 to 100: smooth noise that repeats without a seam."""
    rng = seeded_rng(seed, "texture")
    frequencies = np.fft.fftfreq(_TEXTURE)[:, None] ** 2 + np.fft.rfftfreq(_TEXTURE)[None, :] ** 2
    spectrum = np.fft.rfft2(rng.standard_normal((3, _TEXTURE, _TEXTURE)))
    noise = np.fft.irfft2(spectrum * np.exp(-frequencies * 2 * (np.pi * rng.uniform(4, 7)) ** 2), s=(_TEXTURE,) * 2)
    noise /= noise.std(axis=(1, 2), keepdims=True)
    grey = noise.mean(axis=0, keepdims=True)
    return np.clip(50 + 14 * (0.5 * noise + grey), 10, 100).astype(np.float32).transpose(1, 2, 0)


def _draw(canvas: np.ndarray, digit: Digit, glyph: np.ndarray) -> None:
    """Blend a digit over ``canvas``, within the box that it visits."""
    reach = 0.75 * digit.side  # half the diagonal of its square and a little
    height, width = canvas.shape[1:3]
    left, right = max(int((digit.x - reach).min()), 0), min(int((digit.x + reach).max()) + 1, width)
    top, bottom = max(int((digit.y - reach).min()), 0), min(int((digit.y + reach).max()) + 1, height)
    # By math, one number at a time: a vectorised cosine may round differently by its place in the array.
    turn = zip((math.cos(a) for a in digit.angle), (math.sin(a) for a in digit.angle), digit.side, strict=True)
    steps = np.array([(cos * _GLYPH / side, sin * _GLYPH / side) for cos, sin, side in turn], np.float32)
    cos, sin = (steps[:, part, None, None] for part in (0, 1))
    xs = (np.arange(left, right, dtype=np.float32) - digit.x.astype(np.float32)[:, None])[:, None, :]
    ys = (np.arange(top, bottom, dtype=np.float32) - digit.y.astype(np.float32)[:, None])[:, :, None]
    # Screen to glyph: y points down, so a clockwise turn by `angle` is undone by this rotation.
    framed = np.pad(glyph, 1)
    column = (cos * xs + sin * ys + (_GLYPH / 2 + 1)).astype(np.int32).clip(0, _GLYPH + 1)
    row = (cos * ys - sin * xs + (_GLYPH / 2 + 1)).astype(np.int32).clip(0, _GLYPH + 1)
    ink = framed[row, column]
    ink *= digit.opacity.astype(np.float32)[:, None, None]
    box = canvas[:, top:bottom, left:right]
    box += ink[..., None] * (digit.colour.astype(np.float32)[:, None, None] - box)
