"""Clips for training: a torch data set over a manifest (see :mod:`tinkit.data.clips.opening`)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tinkit.data.clips.cutting import Cutter
from tinkit.data.clips.item import ClipItem, make_item
from tinkit.data.clips.opening import (
    USUAL,
    by_frame,
    channels_of,
    clip_rng,
    flow_asked_for,
    open_row,
    prepare_to_read,
    require_rate,
    resampling_of,
)
from tinkit.data.config.modality import frames_a_segment
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import BrokenClip, ClipReader
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.known import KnownClips
from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.augment import Augmentation
from tinkit.data.sampling.flips import flip_permutation

NO_LABEL = "no label"


class ShortClip(BrokenClip):
    """A clip that can be decoded, of fewer frames than training takes."""


class TrainClips(Dataset[ClipItem]):
    """Training clips: item ``(epoch, index)`` is row ``index`` of ``manifest`` as ``epoch`` sees it.

    Frames, crop, flip and augmentation are drawn from (``seed``, ``epoch``, the clip's id) alone. A mirrored clip has
    the labels that ``clip.flip_labels`` makes of its own. A clip without a label is not valid. ``flow`` says where
    optical flow lies; only ``clip.modality = "flow"`` asks. ``decoding`` is how pixels are read, and at what cost.

    Raises :class:`~tinkit.errors.UserError` for ``flip_labels`` that do not go with the classes.
    """

    def __init__(
        self,
        manifest: Manifest,
        clip: ClipConfig,
        seed: int,
        flow: FlowFiles | None = None,
        decoding: DecodeSettings = USUAL,
    ) -> None:
        prepare_to_read(manifest)
        self.manifest, self._decoding = manifest, decoding
        self._known = KnownClips(manifest)
        self.clip = clip
        self.seed = seed
        self._flow = flow_asked_for(clip, flow)
        augmented = clip.rand_augment is not None or clip.colour_jitter is not None
        self._augmentation = Augmentation(clip) if augmented else None
        require_rate(manifest, clip.fps, self._flow, decoding)
        self._flipped = torch.from_numpy(flip_permutation(manifest.classes, clip.flip_labels))

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        epoch, index = key
        row = self.manifest.row(index)
        size = self.clip.size
        shape = self.clip.num_segments, size, size, channels_of(self.clip)
        if row.labels is None:
            return make_item(self.manifest, index, row, np.zeros(shape, np.uint8), NO_LABEL, broken=False)
        frames = np.empty(shape, np.uint8)
        try:
            known = self._known.index(index, row.path)
            with open_row(self.manifest, row, self._flow, self._decoding, known) as reader:
                flip = self._fill(frames, reader, clip_rng(self.seed, epoch, row.id))
        except BrokenClip as error:
            broken = not isinstance(error, ShortClip)
            return make_item(self.manifest, index, row, np.zeros(shape, np.uint8), error.reason, broken=broken)
        item = make_item(self.manifest, index, row, frames, "", broken=False, notes=reader.notes)
        item["mirrored"] = flip
        if flip:
            labels = item["labels"]
            item["labels"] = labels[self._flipped] if labels.ndim else self._flipped[labels]
        return item

    def _fill(self, frames: NDArray[np.uint8], reader: ClipReader, rng: np.random.Generator) -> bool:
        """Draw, read and cut the frames; returns whether they are mirrored.

        The order of the draws is part of what makes a run repeatable.
        """
        clip = self.clip
        shown = reader.num_frames + (clip.modality == "flow")  # pairs of flow are one fewer
        if shown < self.manifest.min_frames:
            raise ShortClip(f"{shown} frames, fewer than data.min_frames = {self.manifest.min_frames}")
        length = frames_a_segment(clip.modality, clip.flow_length)
        indices = sampling.stacks(self._firsts(reader, rng, length), reader.num_frames, length)
        flip = bool(rng.random() < 0.5) and clip.flip
        cutter = Cutter(clip, rng, self._augmentation, flip=flip)
        parts = by_frame(frames, clip)
        places: dict[int, list[NDArray[np.uint8]]] = {}  # of each frame, where it is shown
        for t, stack in enumerate(indices.tolist()):
            for place, index in enumerate(stack):
                places.setdefault(index, []).append(parts[t, :, :, place])
        for index, part in reader.parts(list(places), cutter.choose):
            cutter.show(part, places[index])
            del part  # one frame in memory at a time
        return flip

    def _firsts(self, reader: ClipReader, rng: np.random.Generator, length: int) -> sampling.Indices:
        """The first frame of each segment, (T,), by the clip's rule."""
        clip, frames = self.clip, reader.num_frames
        seen = resampling_of(reader, clip.fps, self._decoding)
        if seen is not None:
            return seen.train_frames(frames, clip.num_segments, rng)
        rule = (clip.sampling, frames, clip.num_segments, clip.stride)
        return sampling.train_frames(*rule, rng, short=clip.short, length=length)
