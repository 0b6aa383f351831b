"""What a segment of a clip consists of: a frame, a stack of flow pairs, frames whose differences are taken, or sound.

Two-stream networks (Simonyan and Zisserman 2014, arXiv 1406.2199, section 3.1) read ``flow_length`` consecutive fields
of optical flow as one image of twice as many channels; TSN (Wang et al. 2016, arXiv 1608.00859, section 3.2) does the
same for a segment, and stacks differences of consecutive RGB frames in the same way. A segment of sound is one image of
one channel, its spectrogram (:mod:`tinkit.data.config.spectrogram`).
"""

from __future__ import annotations

from typing import Literal

Modality = Literal["rgb", "flow", "rgb_diff", "audio"]
FLOW_LENGTH = 5  # published: flow pairs, or differences, of a segment


def frames_a_segment(modality: Modality, flow_length: int = FLOW_LENGTH) -> int:
    """L, how many consecutive frames (of flow: pairs) are read for a segment: L + 1 frames have L differences."""
    return {"rgb": 1, "flow": flow_length, "rgb_diff": flow_length + 1, "audio": 1}[modality]


def channels_a_frame(modality: Modality) -> int:
    """Channels of one frame as it is read: x and y for flow, one for sound, otherwise red, green and blue."""
    return {"rgb": 3, "flow": 2, "rgb_diff": 3, "audio": 1}[modality]


def read_channels(modality: Modality, flow_length: int = FLOW_LENGTH) -> int:
    """Channels of a segment as the data sets give it, uint8: frame after frame, so (x0, y0, x1, y1, ...) for flow.

    Of an RGB difference these are the frames themselves: differences have a sign, and are taken on the device.
    """
    return frames_a_segment(modality, flow_length) * channels_a_frame(modality)


def model_channels(modality: Modality, flow_length: int = FLOW_LENGTH) -> int:
    """Channels of a segment as the model reads it: 3, ``2 * flow_length``, ``3 * flow_length``, or 1 for sound."""
    return {"rgb": 3, "flow": 2 * flow_length, "rgb_diff": 3 * flow_length, "audio": 1}[modality]
