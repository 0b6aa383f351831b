"""How a video's frames are rotated before they are shown: by the display matrix that phones write, as ffmpeg applies
it.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from tinkit.data.decode.clip_reader import Frame, Note

Matrix = tuple[int, ...]
"""The nine numbers of a display matrix, a row after another; the first two of each row have 16 bits of fraction."""

_UPRIGHT: Matrix = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


class Turner:
    """Turns the frames of one video, if ``turn``, and puts into ``notes`` what became of those that are to be turned.

    What a rotation means is kept: asking for side data takes longer than decoding a small frame.
    """

    def __init__(self, notes: set[Note], *, turn: bool) -> None:
        self._notes, self._turn = notes, turn
        self._matrices: dict[int, Matrix | None] = {}  # by the frames' rotation in degrees

    def __call__(self, pixels: Frame, frame: VideoFrame) -> Frame:
        """``pixels`` (H, W, C) of ``frame`` as it is to be shown."""
        if frame.rotation not in self._matrices:
            self._matrices[frame.rotation] = matrix_of(frame)
        matrix = self._matrices[frame.rotation]
        if matrix is None:
            return pixels
        if not self._turn or quarter_turns(matrix) is None:
            self._notes.add("to be turned, but read as stored")
            return pixels
        self._notes.add("turned")
        return turn(pixels, matrix)


def matrix_of(frame: VideoFrame) -> Matrix | None:
    """How ``frame`` is to be shown; None where the file does not say, or says upright."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    matrix = struct.unpack_from("=9i", bytes(data))
    return None if matrix[:2] + matrix[3:5] == _UPRIGHT[:2] + _UPRIGHT[3:5] else matrix


def quarter_turns(matrix: Matrix) -> int | None:
    """Quarter turns clockwise, 0 to 3; None for an angle between, or a matrix that shows nothing."""
    left, right = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if left == 0 or right == 0:
        return None
    angle = round(math.degrees(math.atan2(matrix[1] / right, matrix[0] / left))) % 360
    nearest = round(angle / 90)
    return nearest % 4 if abs(angle - 90 * nearest) < 1 else None


def turn(pixels: Frame, matrix: Matrix) -> Frame:
    """(H, W, C) turned, and mirrored, as ffmpeg does; as they are where the angle is not a right one."""
    turns = quarter_turns(matrix)
    if turns is None:
        return pixels
    if turns == 1:
        turned = np.rot90(pixels, -1)
        turned = np.rot90(pixels)[::-1] if matrix[3] > 0 else turned
    elif turns == 2:
        turned = pixels[:, ::-1] if matrix[0] < 0 else pixels
        turned = turned[::-1] if matrix[4] < 0 else turned
    elif turns == 3:
        turned = np.rot90(pixels)
        turned = np.rot90(pixels, -1)[::-1] if matrix[3] < 0 else turned
    else:
        turned = pixels[::-1] if matrix[4] < 0 else pixels
    return np.ascontiguousarray(turned)
