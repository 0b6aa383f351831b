"""Clips as the model sees them: torch data sets over a manifest, for training and for testing.

Pixels leave here as uint8; they are normalised on the device. Frames lie in memory as (..., H, W, 3) and are handed out
as a permuted view (..., 3, H, W): with the last four axes taken as images that is torch's channels_last, at no cost.
A clip that cannot be read keeps its place: its frames are zero, ``valid`` is False and ``reason`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinkit.data import crops, sampling
from tinkit.data.config import Media
from tinkit.data.flips import flip_permutation
from tinkit.data.frames import open_clip, template_pattern
from tinkit.data.manifest import Manifest, ManifestRow
from tinkit.data.reader import BrokenClip, ClipReader, Frame
from tinkit.data.views import ClipConfig, ViewConfig

NO_LABEL = "no label"


class ShortClip(BrokenClip):
    """A clip that can be decoded, of fewer frames than training takes."""


class ClipItem(TypedDict):
    """One clip. ``frames`` uint8, (T, 3, size, size) in training, (V, T, 3, crop, crop) in testing."""

    frames: Tensor
    labels: Tensor
    """float32 (C,) of 0 and 1 for a multi-label task, an int64 scalar otherwise; zeros where ``labelled`` is False."""
    labelled: bool
    index: int
    """The clip's row in the manifest."""
    valid: bool
    broken: bool
    """It could not be decoded. A clip without a label, or too short to train on, is not valid but not broken either."""
    reason: str
    """Why the clip is not valid; empty if it is."""


class TrainClips(Dataset[ClipItem]):
    """Training clips: item ``(epoch, index)`` is row ``index`` of ``manifest`` as ``epoch`` sees it.

    Frames, crop and flip are drawn from (``seed``, ``epoch``, the clip's id) alone. A mirrored clip has the labels that
    ``clip.flip_labels`` makes of its own. A clip without a label is not valid.

    Raises :class:`~tinkit.errors.UserError` for ``flip_labels`` that do not go with the classes.
    """

    def __init__(self, manifest: Manifest, clip: ClipConfig, seed: int) -> None:
        _check_manifest(manifest)
        self.manifest = manifest
        self.clip = clip
        self.seed = seed
        self._flipped = torch.from_numpy(flip_permutation(manifest.classes, clip.flip_labels))

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def item_bytes(self) -> int:
        """Bytes of one clip's frames."""
        return self.clip.num_segments * self.clip.size**2 * 3

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        epoch, index = key
        row = self.manifest.row(index)
        size = self.clip.size
        frames = np.zeros((self.clip.num_segments, size, size, 3), dtype=np.uint8)
        if row.labels is None:
            return _item(self.manifest, index, row, frames, NO_LABEL, broken=False)
        try:
            with _open(self.manifest, row) as reader:
                flip = self._fill(frames, reader, clip_rng(self.seed, epoch, row.id))
        except BrokenClip as error:
            frames, broken = np.zeros_like(frames), not isinstance(error, ShortClip)
            return _item(self.manifest, index, row, frames, error.reason, broken=broken)
        item = _item(self.manifest, index, row, frames, "", broken=False)
        if flip:
            labels = item["labels"]
            item["labels"] = labels[self._flipped] if labels.ndim else self._flipped[labels]
        return item

    def _fill(self, frames: NDArray[np.uint8], reader: ClipReader, rng: np.random.Generator) -> bool:
        """Draw, read and cut the frames; returns whether they are mirrored.

        The order of the draws is part of what makes a run repeatable.
        """
        if reader.num_frames < self.manifest.min_frames:
            raise ShortClip(f"{reader.num_frames} frames, fewer than data.min_frames = {self.manifest.min_frames}")
        clip = self.clip
        indices = sampling.train_frames(
            clip.sampling, reader.num_frames, clip.num_segments, clip.stride, rng, short=clip.short
        )
        flip = bool(rng.random() < 0.5) and clip.flip
        size, box, shape = clip.size, None, None
        for index, frame in reader.frames(indices.tolist()):
            if box is None:
                box, shape = self._box(frame, rng), frame.shape
            _check_shape(frame, shape)
            pixels = crops.resize(crops.cut(frame, box), size, size)
            for t in np.flatnonzero(indices == index):
                frames[t] = pixels[:, ::-1] if flip else pixels
        return flip

    def _box(self, frame: Frame, rng: np.random.Generator) -> crops.Box:
        height, width = frame.shape[:2]
        if self.clip.crop == "centre":
            return crops.centre(width, height, min(width, height))
        return crops.multiscale(width, height, self.clip.size, self.clip.scales, rng)


class TestClips(Dataset[ClipItem]):
    """Clips for testing: item ``index`` has V = ``views.count`` views, the crops of a temporal sample side by side.

    View ``k * S + s`` is temporal sample k, crop s of S; with ``views.flip`` the mirror images of all follow in the
    same order. ``views.mirrored`` tells which are mirror images; what ``clip.flip_labels`` says about them is for
    those who average their scores. T is ``views.num_segments``, or the clip's. Labels may be absent.
    """

    __test__ = False  # pytest: not a test

    def __init__(self, manifest: Manifest, clip: ClipConfig, views: ViewConfig) -> None:
        _check_manifest(manifest)
        self.manifest = manifest
        self.num_segments = views.num_segments or clip.num_segments
        self.config = views

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def item_bytes(self) -> int:
        """Bytes of one clip's frames."""
        return self.config.count * self.num_segments * self.config.crop**2 * 3

    def __getitem__(self, index: int) -> ClipItem:
        row = self.manifest.row(index)
        reason = ""
        frames = _empty_views(self.num_segments, self.config)
        try:
            with _open(self.manifest, row) as reader:
                _fill_views(frames, reader, self.config, view_rng(row.id))
        except BrokenClip as error:
            frames, reason = np.zeros_like(frames), error.reason
        return _item(self.manifest, index, row, frames, reason, broken=bool(reason))


def load_views(path: Path, media: Media, clip: ClipConfig, config: ViewConfig, frame_template: str) -> Tensor:
    """The views (V, T, 3, crop, crop) uint8 of a clip that is in no manifest, as :class:`TestClips` gives them.

    What is drawn is drawn from the file's name. Raises :class:`~tinkit.data.reader.BrokenClip`.
    """
    frames = _empty_views(config.num_segments or clip.num_segments, config)
    with open_clip(path, media, frame_template) as reader:
        if reader.num_frames < 1:
            raise BrokenClip("no frame found")
        _fill_views(frames, reader, config, view_rng(path.name))
    return torch.from_numpy(frames).movedim(-1, -3)


def clip_rng(seed: int, epoch: int, clip_id: str) -> np.random.Generator:
    """The generator of one clip in one epoch: a function of nothing but (seed, epoch, id)."""
    return _generator(f"{seed}\0{epoch}\0{clip_id}")


def view_rng(clip_id: str) -> np.random.Generator:
    """The generator of one clip's test views: a function of its id, so that they are the same every time."""
    return _generator(f"views\0{clip_id}")


def _generator(key: str) -> np.random.Generator:
    digest = blake2b(key.encode(errors="surrogateescape"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _empty_views(num_segments: int, config: ViewConfig) -> NDArray[np.uint8]:
    return np.zeros((config.count, num_segments, config.crop, config.crop, 3), dtype=np.uint8)


def _fill_views(frames: NDArray[np.uint8], reader: ClipReader, config: ViewConfig, rng: np.random.Generator) -> None:
    """Read, scale and cut the frames of every view into ``frames`` (V, T, crop, crop, 3)."""
    views = config.parsed
    samples = sampling.test_frames(
        config.sampling, reader.num_frames, frames.shape[1], views.temporal, config.stride, rng
    )
    boxes: Sequence[crops.Box] = ()
    shape = None
    for index, frame in reader.frames(samples.ravel().tolist()):
        scaled = crops.scale_short_side(frame, config.scale)
        if shape is None:
            height, width = scaled.shape[:2]
            boxes, shape = crops.views(width, height, config.crop, views.spatial), frame.shape
        _check_shape(frame, shape)
        for k, t in np.argwhere(samples == index):
            for s, box in enumerate(boxes):
                frames[k * views.spatial + s, t] = crops.cut(scaled, box)
    if config.flip:
        frames[views.count :] = frames[: views.count, :, :, ::-1]


def _open(manifest: Manifest, row: ManifestRow) -> ClipReader:
    reader = open_clip(manifest.root / row.path, manifest.media, manifest.frame_template, row.start, row.frames)
    if reader.num_frames < 1:
        reader.close()
        raise BrokenClip("no frame found")
    return reader


def _item(
    manifest: Manifest, index: int, row: ManifestRow, frames: NDArray[np.uint8], reason: str, *, broken: bool
) -> ClipItem:
    return {
        "frames": torch.from_numpy(frames).movedim(-1, -3),
        "labels": _labels(manifest, row),
        "labelled": row.labels is not None,
        "index": index,
        "valid": not reason,
        "broken": broken,
        "reason": reason,
    }


def _labels(manifest: Manifest, row: ManifestRow) -> Tensor:
    if manifest.task == "single-label":
        return torch.tensor(row.labels[0] if row.labels else 0, dtype=torch.int64)
    labels = torch.zeros(len(manifest.classes), dtype=torch.float32)
    labels[list(row.labels or ())] = 1.0
    return labels


def _check_shape(frame: Frame, shape: tuple[int, ...] | None) -> None:
    if frame.shape != shape:
        raise BrokenClip("frames of different sizes")


def _check_manifest(manifest: Manifest) -> None:
    """A template that cannot be read is the user's mistake, not a broken clip: it is found before any worker starts."""
    if manifest.media == "frames":
        template_pattern(manifest.frame_template)
