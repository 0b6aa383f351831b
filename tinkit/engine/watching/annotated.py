"""A stream written as a video with its labels on the frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinkit.data.decode.clip_reader import Frame
from tinkit.data.reencode.encoder import add_pictures, encoder_here
from tinkit.data.sampling.resize import resize
from tinkit.errors import UsageError
from tinkit.files.atomic import check_place

_TICKS = 90_000  # of the video's clock, a second
_LETTERS = 60  # of a label
SUFFIXES = (".mp4", ".mkv")


def check_video(file: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless a video can be written to ``file``, before any work is done."""
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {file} is of a kind that is not written", expected=" or ".join(SUFFIXES))
    check_place(file)
    encoder_here()


class AnnotatedVideo:
    """A video of the frames that it is given, at their own times, with labels and probabilities in a corner.

    It is written as it comes, in pieces that can be played: a killed command leaves what was there. Frames of another
    size than the first are resized to that.
    """

    def __init__(self, file: Path) -> None:
        check_video(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if file.suffix.lower() == ".mp4" else {}
        self._container: Any = av.open(str(file), "w", options=options)
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def add(self, frame: Frame, seconds: float, labels: Sequence[tuple[str, float]]) -> None:
        """The next frame (H, W, 3) uint8, ``seconds`` after the first."""
        if self._stream is None:
            self._begin(frame)
        width, height = self._size
        if frame.shape[:2] != (height, width):
            frame = resize(np.ascontiguousarray(frame), width, height)
        picture = av.VideoFrame.from_ndarray(annotated(frame, labels), format="rgb24")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        picture.pts, picture.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(picture))

    def _begin(self, frame: Frame) -> None:
        height, width = (max(2, side // 2 * 2) for side in frame.shape[:2])  # halved colours need even sides
        self._size = width, height
        name = encoder_here()
        # no frame waits for a later one, and none begins late where a container has no list of edits
        tick = Fraction(1, _TICKS if name != "mpeg4" else 30_000)
        self._stream = add_pictures(self._container, name, (height, width), 30, tick, {"bf": "0"})


def annotated(frame: Frame, labels: Sequence[tuple[str, float]]) -> Frame:
    """A copy of ``frame`` with a line a label, white on a dark band at the top."""
    if not labels:
        return np.ascontiguousarray(frame)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    draw = ImageDraw.Draw(picture, "RGBA")
    size = max(10, min(frame.shape[0] // 14, 2 * frame.shape[1] // 40))
    font = ImageFont.load_default(size)
    lines = "\n".join(f"{label[:_LETTERS]}  {100 * probability:.0f}%" for label, probability in labels)
    box = draw.multiline_textbbox((size // 2, size // 3), lines, font=font)
    draw.rectangle((0, 0, frame.shape[1], box[3] + size // 3), fill=(0, 0, 0, 150))
    draw.multiline_text((size // 2, size // 3), lines, font=font, fill=(255, 255, 255, 255))
    return np.asarray(picture)
