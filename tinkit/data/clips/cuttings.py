"""One random cutting of a training clip: its frames, its crop, whether it is mirrored, and what is done to colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinkit.data.clips.opening import by_frame, check_shape, resampling_of
from tinkit.data.config.modality import frames_a_segment
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import ClipReader, Frame
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import crops
from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.augment import Augmentation


class Cutting:
    """Draws from ``rng`` and fills ``target`` (T, size, size, C) as frames come.

    The order of the draws is part of what makes a run repeatable: frames, the flip, and with the first frame, whose
    size they depend on, the crop and the augmentation.
    """

    def __init__(
        self,
        target: NDArray[np.uint8],
        clip: ClipConfig,
        reader: ClipReader,
        decoding: DecodeSettings,
        rng: np.random.Generator,
        augmentation: Augmentation | None,
    ) -> None:
        self._clip, self._rng, self._augmentation = clip, rng, augmentation
        length = frames_a_segment(clip.modality, clip.flow_length)
        indices = sampling.stacks(_firsts(clip, reader, decoding, rng, length), reader.num_frames, length)
        self.mirrored = bool(rng.random() < 0.5) and clip.flip
        self._box: crops.Box | None = None
        parts = by_frame(target, clip)
        self.places: dict[int, list[NDArray[np.uint8]]] = {}
        """Of each frame, where it is shown."""
        for t, stack in enumerate(indices.tolist()):
            for place, index in enumerate(stack):
                self.places.setdefault(index, []).append(parts[t, :, :, place])

    def show(self, index: int, frame: Frame) -> None:
        """Put a frame where it is shown."""
        if self._box is None:
            self._box, self._shape = replace(self._draw_box(frame), mirrored=self.mirrored), frame.shape
            self._augment = None if self._augmentation is None else self._augmentation.draw(self._rng)
        check_shape(frame, self._shape)
        first, *others = self.places[index]
        crops.cut_into(first, frame, self._box)
        if self._augment is not None:
            first[:] = self._augment(first)
        for other in others:
            other[:] = first

    def _draw_box(self, frame: Frame) -> crops.Box:
        clip, (height, width) = self._clip, frame.shape[:2]
        if clip.crop == "centre":
            return crops.centre(width, height, min(width, height))
        if clip.crop == "resized":
            return crops.resized(width, height, clip.area, clip.ratio, self._rng)
        return crops.multiscale(width, height, clip.size, clip.scales, self._rng)


def fill(cuttings: Sequence[Cutting], reader: ClipReader) -> None:
    """Read each frame that any of ``cuttings`` shows once, in order."""
    for index, frame in reader.frames(sorted({index for cutting in cuttings for index in cutting.places})):
        for cutting in cuttings:
            if index in cutting.places:
                cutting.show(index, frame)
        del frame  # one frame in memory at a time


def _firsts(
    clip: ClipConfig, reader: ClipReader, decoding: DecodeSettings, rng: np.random.Generator, length: int
) -> sampling.Indices:
    """The first frame of each segment, (T,), by the clip's rule."""
    seen = resampling_of(reader, clip.fps, decoding)
    if seen is not None:
        return seen.train_frames(reader.num_frames, clip.num_segments, rng)
    rule = (clip.sampling, reader.num_frames, clip.num_segments, clip.stride)
    return sampling.train_frames(*rule, rng, short=clip.short, length=length)
