"""Clips as the model sees them: torch data sets over a manifest, for training and for testing.

Pixels leave here as uint8; they are normalised on the device. Frames lie in memory as (..., H, W, C) and are handed out
as a permuted view (..., C, H, W): with the last four axes taken as images that is torch's channels_last, at no cost.
C is 3 for RGB; for flow and RGB differences a segment's consecutive frames lie behind one another in it
(:func:`~tinkit.data.config.modality.read_channels`; the differences themselves are taken on the device).
A clip that cannot be read keeps its place: its frames are zero, ``valid`` is False and ``reason`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinkit.data.clips.item import ClipItem, make_item
from tinkit.data.config.modality import channels_a_frame, frames_a_segment, read_channels
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, Frame, Note
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import Reading
from tinkit.data.flow.computed import ComputedFlow, FlowSettings
from tinkit.data.flow.folders import FlowFiles, FlowFolder
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest, ManifestRow
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.paths.image_names import template_pattern
from tinkit.data.sampling import crops, resize
from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.flips import flip_permutation

NO_LABEL = "no label"

_USUAL = Reading()


class ShortClip(BrokenClip):
    """A clip that can be decoded, of fewer frames than training takes."""


class TrainClips(Dataset[ClipItem]):
    """Training clips: item ``(epoch, index)`` is row ``index`` of ``manifest`` as ``epoch`` sees it.

    Frames, crop and flip are drawn from (``seed``, ``epoch``, the clip's id) alone. A mirrored clip has the labels that
    ``clip.flip_labels`` makes of its own. A clip without a label is not valid. ``flow`` says where optical flow lies;
    only ``clip.modality = "flow"`` asks. ``reading`` is how pixels are read, and what that may cost.

    Raises :class:`~tinkit.errors.UserError` for ``flip_labels`` that do not go with the classes.
    """

    def __init__(
        self,
        manifest: Manifest,
        clip: ClipConfig,
        seed: int,
        flow: FlowFiles | None = None,
        reading: Reading = _USUAL,
    ) -> None:
        _prepare(manifest)
        self.manifest, self._reading = manifest, reading
        self.clip = clip
        self.seed = seed
        self._flow = _flow_asked_for(clip, flow)
        self._flipped = torch.from_numpy(flip_permutation(manifest.classes, clip.flip_labels))

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, key: tuple[int, int]) -> ClipItem:
        epoch, index = key
        row = self.manifest.row(index)
        size = self.clip.size
        frames = np.zeros((self.clip.num_segments, size, size, _channels(self.clip)), dtype=np.uint8)
        if row.labels is None:
            return make_item(self.manifest, index, row, frames, NO_LABEL, broken=False)
        try:
            with _open(self.manifest, row, self._flow, self._reading) as reader:
                flip = self._fill(frames, reader, clip_rng(self.seed, epoch, row.id))
        except BrokenClip as error:
            frames, broken = np.zeros_like(frames), not isinstance(error, ShortClip)
            return make_item(self.manifest, index, row, frames, error.reason, broken=broken)
        item = make_item(self.manifest, index, row, frames, "", broken=False, notes=reader.notes)
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
        firsts = sampling.train_frames(
            clip.sampling, reader.num_frames, clip.num_segments, clip.stride, rng, short=clip.short, length=length
        )
        indices = sampling.stacks(firsts, reader.num_frames, length)
        flip = bool(rng.random() < 0.5) and clip.flip
        box, shape = None, None
        parts = _by_frame(frames, clip)
        for index, frame in reader.frames(indices.ravel().tolist()):
            if box is None:
                box, shape = replace(self._box(frame, rng), mirrored=flip), frame.shape
            _check_shape(frame, shape)
            (t, place), *others = np.argwhere(indices == index)
            crops.cut_into(parts[t, :, :, place], frame, box)
            for other, its_place in others:
                parts[other, :, :, its_place] = parts[t, :, :, place]
            del frame  # one frame in memory at a time
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
    those who average their scores. T is ``views.num_segments``, or the clip's. Labels may be absent. ``flow`` and
    ``reading`` are as in :class:`TrainClips`.
    """

    __test__ = False  # pytest: not a test

    def __init__(
        self,
        manifest: Manifest,
        clip: ClipConfig,
        views: ViewConfig,
        flow: FlowFiles | None = None,
        reading: Reading = _USUAL,
    ) -> None:
        _prepare(manifest)
        self.manifest, self._reading = manifest, reading
        self.clip = clip
        self.num_segments = views.num_segments or clip.num_segments
        self.config = views
        self._flow = _flow_asked_for(clip, flow)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> ClipItem:
        row = self.manifest.row(index)
        frames = _empty_views(self.clip, self.config)
        try:
            with _open(self.manifest, row, self._flow, self._reading) as reader:
                _fill_views(frames, reader, self.clip, self.config, view_rng(row.id))
        except BrokenClip as error:
            return make_item(self.manifest, index, row, np.zeros_like(frames), error.reason, broken=True)
        return make_item(self.manifest, index, row, frames, "", broken=False, notes=reader.notes)


def load_views(
    path: Path, media: Media, clip: ClipConfig, config: ViewConfig, frame_template: str, reading: Reading = _USUAL
) -> Tensor:
    """The views (V, T, C, crop, crop) uint8 of a clip that is in no manifest, as :class:`TestClips` gives them.

    Its optical flow, where that is asked for, is computed here, from the frames that the views need, as
    :class:`~tinkit.data.flow.computed.FlowSettings` has it. What is drawn is drawn from the file's name. Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip`, and :class:`~tinkit.errors.UserError` if flow cannot be
    computed.
    """
    return load_noted_views(path, media, clip, config, frame_template, reading)[0]


def load_noted_views(
    path: Path, media: Media, clip: ClipConfig, config: ViewConfig, frame_template: str, reading: Reading = _USUAL
) -> tuple[Tensor, list[Note]]:
    """As :func:`load_views`, and beside the views what is worth saying of the clip."""
    frames = _empty_views(clip, config)
    with open_clip(path, media, frame_template, reading=reading) as opened:
        if opened.num_frames < 1:
            raise BrokenClip("no frame found")
        reader = ComputedFlow(opened, FlowSettings()) if clip.modality == "flow" else opened
        _fill_views(frames, reader, clip, config, view_rng(path.name))
    return torch.from_numpy(frames).movedim(-1, -3), sorted(reader.notes)


def require_files(manifest: Manifest, clip: ClipConfig, flow: FlowFiles | None = None) -> None:
    """Raise :class:`~tinkit.errors.UserError` if of a few clips of ``manifest`` not one has what ``clip`` reads."""
    files = _flow_asked_for(clip, flow)
    if files is None:
        manifest.require_media()
    else:
        files.require(manifest)


def clip_rng(seed: int, epoch: int, clip_id: str) -> np.random.Generator:
    """The generator of one clip in one epoch: a function of nothing but (seed, epoch, id)."""
    return _generator(f"{seed}\0{epoch}\0{clip_id}")


def view_rng(clip_id: str) -> np.random.Generator:
    """The generator of one clip's test views: a function of its id, so that they are the same every time."""
    return _generator(f"views\0{clip_id}")


def _generator(key: str) -> np.random.Generator:
    digest = blake2b(key.encode(errors="surrogateescape"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _channels(clip: ClipConfig) -> int:
    return read_channels(clip.modality, clip.flow_length)


def _flow_asked_for(clip: ClipConfig, flow: FlowFiles | None) -> FlowFiles | None:
    """``flow`` if ``clip`` reads optical flow, else None."""
    if clip.modality != "flow":
        return None
    if flow is None:
        raise ValueError("clip.modality = 'flow' needs to know where flow lies: give flow=FlowFiles.of(data)")
    return flow


def _empty_views(clip: ClipConfig, config: ViewConfig) -> NDArray[np.uint8]:
    num_segments = config.num_segments or clip.num_segments
    return np.zeros((config.count, num_segments, config.crop, config.crop, _channels(clip)), dtype=np.uint8)


def _by_frame(frames: NDArray[np.uint8], clip: ClipConfig) -> NDArray[np.uint8]:
    """(..., H, W, C) as a view (..., H, W, L, channels of a frame): the consecutive frames of a segment apart."""
    return frames.reshape(*frames.shape[:-1], -1, channels_a_frame(clip.modality))


def _fill_views(
    frames: NDArray[np.uint8], reader: ClipReader, clip: ClipConfig, config: ViewConfig, rng: np.random.Generator
) -> None:
    """Read, scale and cut the frames of every view into ``frames`` (V, T, crop, crop, C)."""
    views, length = config.parsed, frames_a_segment(clip.modality, clip.flow_length)
    firsts = sampling.test_frames(
        config.sampling, reader.num_frames, frames.shape[1], views.temporal, config.stride, rng, length=length
    )
    samples = sampling.stacks(firsts, reader.num_frames, length)
    parts = _by_frame(frames, clip)
    boxes: Sequence[crops.Box] = ()
    shape = None
    for index, frame in reader.frames(samples.ravel().tolist()):
        scaled = crops.scale_short_side(frame, config.scale)
        if shape is None:
            height, width = scaled.shape[:2]
            boxes, shape = crops.views(width, height, config.crop, views.spatial), frame.shape
        _check_shape(frame, shape)
        for k, t, place in np.argwhere(samples == index):
            for s, box in enumerate(boxes):
                parts[k * views.spatial + s, t, :, :, place] = crops.cut(scaled, box)
        del frame, scaled  # one frame in memory at a time
    if config.flip:
        frames[views.count :] = crops.mirror(frames[: views.count], flow=clip.modality == "flow")


def _open(manifest: Manifest, row: ManifestRow, flow: FlowFiles | None, reading: Reading) -> ClipReader:
    reader: ClipReader
    if flow is None:
        path = clip_path(manifest.root, row.path)
        reader = open_clip(path, manifest.media, manifest.frame_template, row.start, row.frames, reading)
    else:
        folder = flow.clip_folder(manifest.root, row.path)
        reader = FlowFolder(folder, flow.templates(folder), row.start, row.frames, reading)
    if reader.num_frames < 1:
        reader.close()
        raise BrokenClip("no frame found")
    return reader


def _check_shape(frame: Frame, shape: tuple[int, ...] | None) -> None:
    if frame.shape != shape:
        raise BrokenClip("frames of different sizes")


def _prepare(manifest: Manifest) -> None:
    """Before any worker starts: find a template that cannot be read, which is no broken clip, and load the kernel."""
    resize.load_kernel()
    if manifest.media == "frames":
        template_pattern(manifest.frame_template)
