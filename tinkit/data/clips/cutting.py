"""What training makes of the pixels of one clip: the same crop, mirror image and augmentation for all its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tinkit.data.clips.opening import check_size
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import Frame, Rectangle
from tinkit.data.sampling import crops
from tinkit.data.sampling.augment import Augmentation


class Cutter:
    """Cuts the frames of one clip. The crop and then the augmentation are drawn from ``rng`` at the first frame."""

    def __init__(
        self, clip: ClipConfig, rng: np.random.Generator, augmentation: Augmentation | None, *, flip: bool
    ) -> None:
        self._clip, self._rng, self._augmentation, self._flip = clip, rng, augmentation, flip
        self._size: tuple[int, int] | None = None
        self._rectangle: Rectangle = (0, 0, 0, 0)
        self._augment: Callable[[Frame], Frame] | None = None

    def choose(self, width: int, height: int) -> Rectangle:
        """Which part of a frame is shown. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for another size
        than the first one's."""
        if self._size is None:
            self._size = width, height
            self._rectangle = _box(self._clip, width, height, self._rng).rectangle
            self._augment = None if self._augmentation is None else self._augmentation.draw(self._rng)
        check_size((width, height), self._size)
        return self._rectangle

    def show(self, part: Frame, places: Sequence[NDArray[np.uint8]]) -> None:
        """Fill each of ``places`` (size, size, C) with the part of a frame."""
        first, *others = places
        crops.fill(first, part, mirrored=self._flip)
        if self._augment is not None:
            first[:] = self._augment(first)
        for other in others:
            other[:] = first


def _box(clip: ClipConfig, width: int, height: int, rng: np.random.Generator) -> crops.Box:
    if clip.crop == "centre":
        return crops.centre(width, height, min(width, height))
    if clip.crop == "resized":
        return crops.resized(width, height, clip.area, clip.ratio, rng)
    return crops.multiscale(width, height, clip.size, clip.scales, rng)
