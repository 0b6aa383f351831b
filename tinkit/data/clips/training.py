"""Clips for training: a torch data set over a manifest (see :mod:`tinkit.data.clips.opening`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tinkit.data.clips.cuttings import Cutting, fill
from tinkit.data.clips.item import ClipItem, make_item
from tinkit.data.clips.opening import (
    USUAL,
    channels_of,
    clip_rng,
    flow_asked_for,
    open_row,
    prepare_to_read,
    require_rate,
)
from tinkit.data.config.views import ClipConfig, image_shape
from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, NoSound, Note
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest, ManifestRow
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.known import KnownClips
from tinkit.data.sampling.augment import Augmentation
from tinkit.data.sampling.flips import flip_permutation
from tinkit.data.sound.segments import train_segments

TrainKey = tuple[int, int] | tuple[int, int, int]
"""Epoch (from 0), row of the manifest, and which of the clip's ``clip.repeats`` cuttings (0 unless given)."""

NO_LABEL = "no label"


class ShortClip(BrokenClip):
    """A clip that can be decoded, of fewer frames than training takes."""


class TrainClips(Dataset[ClipItem]):
    """Training clips: item ``(epoch, index)`` is row ``index`` of ``manifest`` as ``epoch`` sees it.

    Frames, crop, flip and augmentation are drawn from (``seed``, ``epoch``, the clip's id) alone, and from which of the
    clip's cuttings it is where a step has several (``clip.repeats``). A mirrored clip has
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

    @property
    def item_bytes(self) -> int:
        """Bytes of an item's frames."""
        return self.clip.num_segments * math.prod(image_shape(self.clip)) * channels_of(self.clip)

    def __getitem__(self, key: TrainKey) -> ClipItem:
        return next(self._items(key[0], key[1], [_repeat(key)]))

    def each(self, keys: Iterable[TrainKey]) -> Iterator[ClipItem]:
        """The items of ``keys``, in order. A clip that several keys in a row ask for is opened and decoded once."""
        for (epoch, index), group in groupby(keys, key=lambda key: (key[0], key[1])):
            same = list(group)
            if len(same) == 1:
                yield self[same[0]]
            else:
                yield from self._items(epoch, index, [_repeat(key) for key in same])

    def _items(self, epoch: int, index: int, repeats: Sequence[int]) -> Iterator[ClipItem]:
        row = self.manifest.row(index)
        frames = np.empty(
            (len(repeats), self.clip.num_segments, *image_shape(self.clip), channels_of(self.clip)), np.uint8
        )
        reason, broken, notes, mirrored = NO_LABEL, False, set[Note](), [False] * len(repeats)
        if row.labels is not None:
            try:
                mirrored, notes = self._read(
                    frames, index, row, [clip_rng(self.seed, epoch, row.id, r) for r in repeats]
                )
                reason = ""
            except BrokenClip as error:
                reason, broken = error.reason, not isinstance(error, ShortClip | NoSound)
        if reason:
            frames[:] = 0
        for number, flip in enumerate(mirrored):
            item = make_item(self.manifest, index, row, frames[number], reason, broken=broken, notes=notes)
            if not reason:
                item["mirrored"] = flip
            if flip:
                labels = item["labels"]
                item["labels"] = labels[self._flipped] if labels.ndim else self._flipped[labels]
            yield item

    def open(self, index: int, row: ManifestRow) -> ClipReader:
        """The open clip of ``row``, at ``index``. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`."""
        return open_row(self.manifest, row, self._flow, self._decoding, self._known.index(index, row.path))

    def _read(
        self, frames: NDArray[np.uint8], index: int, row: ManifestRow, draws: list[np.random.Generator]
    ) -> tuple[list[bool], set[Note]]:
        """Fill ``frames`` (R, T, H, W, C) with a cutting for each of ``draws``; which are mirrored, and notes."""
        clip = self.clip
        if clip.modality == "audio":
            path = clip_path(self.manifest.root, row.path)
            frames[:], notes = train_segments(path, (row.start, row.frames), clip, self._decoding, draws)
            return [False] * len(draws), set(notes)
        with self.open(index, row) as reader:
            shown = reader.num_frames + (clip.modality == "flow")  # pairs of flow are one fewer
            if shown < self.manifest.min_frames:
                raise ShortClip(f"{shown} frames, fewer than data.min_frames = {self.manifest.min_frames}")
            cuttings = [
                Cutting(target, clip, reader, self._decoding, rng, self._augmentation)
                for target, rng in zip(frames, draws, strict=True)
            ]
            fill(cuttings, reader)
            return [cutting.mirrored for cutting in cuttings], reader.notes


def _repeat(key: TrainKey) -> int:
    return key[2] if len(key) == 3 else 0
