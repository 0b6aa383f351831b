"""How bright clips are, by the frame in the middle of each of a few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinkit.data.clips.opening import open_row
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.look.files import Measure
from tinkit.data.manifest.manifest import Manifest

_LUMA = np.array((0.299, 0.587, 0.114))  # ITU-R BT.601


def brightness(
    manifest: Manifest, rows: list[int], decoding: DecodeSettings, on_clip: Callable[[int], None]
) -> Measure:
    """The mean luma, 0 (black) to 255 (white), of the middle frames of the clips in ``rows``; broken ones left out.

    ``on_clip(1)`` is called after each clip.
    """
    values = []
    for number in rows:
        try:
            with open_row(manifest, manifest.row(number), None, decoding) as reader:
                frame = reader.read([reader.num_frames // 2])[0]
                values.append(float(frame.reshape(-1, 3).mean(axis=0) @ _LUMA))
        except BrokenClip:
            pass
        on_clip(1)
    return Measure("brightness", "0-255", np.array(values, np.float64))
