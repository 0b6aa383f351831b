"""One random cutting of a training clip: its frames, its crop, whether it is mirrored, and what is done to colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tinkit.data.clips.opening import by_frame, check_size, resampling_of
from tinkit.data.config.modality import frames_a_segment
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import ClipReader, Frame, Rectangle
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import crops
from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.augment import Augmentation
from tinkit.data.sampling.jpegs import Files, Shown, can_show_jpegs, show_jpegs


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

    def draw(self, width: int, height: int) -> Rectangle:
        """Which part of a frame of that size is shown, drawn once. Raises
        :class:`~tinkit.data.decode.clip_reader.BrokenClip` for another size than the first one's."""
        if self._box is None:
            self._size, self._box = (width, height), self._draw_box(width, height)
            self._augment = None if self._augmentation is None else self._augmentation.draw(self._rng)
        check_size((width, height), self._size)
        return self._box.rectangle

    def show(self, index: int, part: Frame, where: Rectangle) -> None:
        """Put a frame, of which there is the part ``where``, where it is shown."""
        crops.cut_into(self.places[index][0], part, self._within(where))
        self._finish(index)

    def shown_of(self, indices: Sequence[int], where: Rectangle) -> Shown:
        """What others put where the frames of ``indices`` are shown first, out of their parts ``where``."""
        box = self._within(where)
        return Shown(box.rectangle, box.mirrored, [self.places[i][0] if i in self.places else None for i in indices])

    def finish(self, indices: Sequence[int]) -> None:
        """What is still to be done once the frames of ``indices`` are there."""
        for index in indices:
            if index in self.places:
                self._finish(index)

    def _within(self, where: Rectangle) -> crops.Box:
        assert self._box is not None
        return replace(self._box, left=self._box.left - where[0], top=self._box.top - where[1])

    def _finish(self, index: int) -> None:
        first, *others = self.places[index]
        if self._augment is not None:
            first[:] = self._augment(first)
        for other in others:
            other[:] = first

    def _draw_box(self, width: int, height: int) -> crops.Box:
        clip = self._clip
        if clip.crop == "centre":
            box = crops.centre(width, height, min(width, height))
        elif clip.crop == "resized":
            box = crops.resized(width, height, clip.area, clip.ratio, self._rng)
        else:
            box = crops.multiscale(width, height, clip.size, clip.scales, self._rng)
        return replace(box, mirrored=self.mirrored)


def fill(cuttings: Sequence[Cutting], reader: ClipReader) -> None:
    """Read each frame that any of ``cuttings`` shows once, in order, and of it what one of them shows."""
    indices = sorted({index for cutting in cuttings for index in cutting.places})
    where: Rectangle = (0, 0, 0, 0)

    def choose(width: int, height: int) -> Rectangle:
        nonlocal where
        where = _around([cutting.draw(width, height) for cutting in cuttings])
        return where

    def show_files(width: int, height: int, files: Files) -> int:
        part, there = choose(width, height), indices[: len(files)]
        done = show_jpegs(files, (width, height), part, [cutting.shown_of(there, part) for cutting in cuttings])
        for cutting in cuttings:
            cutting.finish(there[:done])
        return done

    together = all(can_show_jpegs(next(iter(cutting.places.values()))[0]) for cutting in cuttings)
    done = reader.show_files(indices, show_files) if together else 0
    for index, part in reader.parts(indices[done:], choose):
        for cutting in cuttings:
            if index in cutting.places:
                cutting.show(index, part, where)
        del part  # one frame in memory at a time


def _around(parts: Sequence[Rectangle]) -> Rectangle:
    """The smallest rectangle that holds all of ``parts``."""
    left, top = min(part[0] for part in parts), min(part[1] for part in parts)
    return left, top, max(x + w for x, _, w, _ in parts) - left, max(y + h for _, y, _, h in parts) - top


def _firsts(
    clip: ClipConfig, reader: ClipReader, decoding: DecodeSettings, rng: np.random.Generator, length: int
) -> sampling.Indices:
    """The first frame of each segment, (T,), by the clip's rule."""
    seen = resampling_of(reader, clip.fps, decoding)
    if seen is not None:
        return seen.train_frames(reader.num_frames, clip.num_segments, rng)
    rule = (clip.sampling, reader.num_frames, clip.num_segments, clip.stride)
    return sampling.train_frames(*rule, rng, short=clip.short, length=length)
