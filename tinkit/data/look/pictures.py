"""A segment as a picture: RGB as it is, the direction of optical flow as colour, a difference around grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinkit.data.config.modality import Modality, channels_a_frame
from tinkit.data.sampling.resize import resize

_STILL = 127.5  # the value of flow that stands for no motion
_LEAST_FAST = 16.0  # levels of flow that are drawn in full colour at least: noise stays pale


def pictures(segments: NDArray[np.uint8], modality: Modality, side: int) -> NDArray[np.uint8]:
    """Segments (T, C, H, W) as pictures (T, h, w, 3), no side longer than ``side`` pixels; nothing is enlarged.

    Of a stack of flow pairs, or of differences, the middle one is drawn. Flow: white is still, the hue is the
    direction, and the fastest pixel of the T has the fullest colour. Differences: grey means unchanged. Sound: its
    spectrogram in grey, the lowest band at the bottom.
    """
    parts = segments.reshape(len(segments), -1, channels_a_frame(modality), *segments.shape[2:]).transpose(
        0, 1, 3, 4, 2
    )
    match modality:
        case "rgb":
            shown = parts[:, 0]
        case "flow":
            shown = _wheel(parts[:, parts.shape[1] // 2])
        case "rgb_diff":
            shown = _around_grey(parts)
        case "audio":
            shown = parts[:, 0].repeat(3, axis=-1)
    height, width = shown.shape[1:3]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([resize(np.ascontiguousarray(one), *size) for one in shown])


def _around_grey(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, L + 1, H, W, 3): the middle one of the L differences, halved, so that all fit, and grey where it is 0."""
    middle = (frames.shape[1] - 1) // 2
    difference = frames[:, middle + 1].astype(np.int16) - frames[:, middle]
    return (128 + difference // 2).astype(np.uint8)


def _wheel(flow: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 2): to the right is red, down is yellow-green, to the left is cyan, up is violet."""
    x, y = (flow[..., axis].astype(np.float32) - _STILL for axis in (0, 1))
    x, y = (np.where(np.abs(part) < 1, 0, part) for part in (x, y))  # 127 and 128 are both still
    speed = np.hypot(x, y)
    fullness = speed / max(_LEAST_FAST, float(speed.max()))
    sixth = np.arctan2(y, x) / np.pi * 3 % 6  # of the way round
    hue = np.clip(np.abs((sixth[..., None] + np.array((0, 4, 2), np.float32)) % 6 - 3) - 1, 0, 1)
    return np.rint(255 * (1 - fullness[..., None] * (1 - hue))).astype(np.uint8)
