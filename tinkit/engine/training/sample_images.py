"""Pictures of a clip for TensorBoard: some of its frames in a row, with what it is and what it was taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tinkit.data.config.modality import Modality

_MOST = 8  # frames shown
_LINE = 14  # pixels


def sample_strip(frames: Tensor, lines: Sequence[str]) -> NDArray[np.uint8]:
    """Up to eight of ``frames`` (T, 3, H, W) uint8, spread evenly, side by side over ``lines`` of text: (H', W', 3)."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(_MOST, len(frames))).round().astype(int))
    strip = np.concatenate([frames[int(t)].movedim(0, -1).cpu().numpy() for t in chosen], axis=1)
    font = ImageFont.load_default(_LINE - 3)
    width = max(strip.shape[1], *(int(font.getlength(line)) + 4 for line in lines))
    picture = Image.new("RGB", (width, strip.shape[0] + _LINE * len(lines) + 2))
    picture.paste(Image.fromarray(strip))
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((2, strip.shape[0] + number * _LINE), line, font=font)
    return np.asarray(picture)


def visible(frames: Tensor, modality: Modality) -> Tensor:
    """What can be shown of segments (T, C, H, W): (T, 3, H, W), the first frame of each, x, y and y of its flow, or its
    spectrogram in grey."""
    channels = {"rgb": (0, 1, 2), "flow": (0, 1, 1), "rgb_diff": (0, 1, 2), "audio": (0, 0, 0)}[modality]
    return frames[:, channels]


def sample_lines(clip: str, labels: Sequence[str], likeliest: Sequence[tuple[str, float]]) -> list[str]:
    """The text under a clip: its id and labels, then each likely class with its probability, marked where right."""
    shown = ", ".join(labels) or "no label"
    found = [f"{'+' if name in labels else '-'} {100 * value:.1f}% {name}" for name, value in likeliest]
    return [f"{clip}: {shown}", *found]
