"""The views of clips for testing: a torch data set over a manifest, and the views of a single file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tinkit.data.clips.item import ClipItem, make_item
from tinkit.data.clips.opening import (
    USUAL,
    by_frame,
    channels_of,
    check_size,
    flow_asked_for,
    open_row,
    prepare_to_read,
    require_rate,
    resampling_of,
    view_rng,
)
from tinkit.data.config.modality import frames_a_segment
from tinkit.data.config.views import ClipConfig, ViewConfig, check_views, image_shape
from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, NoFrames, NoSound, Note
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.computed import ComputedFlow, FlowSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest, ManifestRow
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.known import KnownClips
from tinkit.data.sampling import crops
from tinkit.data.sampling import frames as sampling
from tinkit.data.sampling.rates import Resampling
from tinkit.data.sound.segments import test_segments


class TestClips(Dataset[ClipItem]):
    """Clips for testing: item ``index`` has V = ``views.count`` views, the crops of a temporal sample side by side.

    View ``k * S + s`` is temporal sample k, crop s of S; with ``views.flip`` the mirror images of all follow in the
    same order. ``views.mirrored`` tells which are mirror images; what ``clip.flip_labels`` says about them is for
    those who average their scores. T is ``views.num_segments``, or the clip's. Labels may be absent. ``flow`` and
    ``decoding`` are as in :class:`~tinkit.data.clips.training.TrainClips`.
    """

    __test__ = False  # pytest: not a test

    def __init__(
        self,
        manifest: Manifest,
        clip: ClipConfig,
        views: ViewConfig,
        flow: FlowFiles | None = None,
        decoding: DecodeSettings = USUAL,
    ) -> None:
        check_views(clip, views)
        prepare_to_read(manifest)
        self.manifest, self._decoding = manifest, decoding
        self._known = KnownClips(manifest)
        self.clip = clip
        self.views = views
        self._flow = flow_asked_for(clip, flow)
        require_rate(manifest, views.fps, self._flow, decoding)

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def item_bytes(self) -> int:
        """Bytes of an item's frames."""
        segments = self.views.count * (self.views.num_segments or self.clip.num_segments)
        return segments * math.prod(image_shape(self.clip, self.views)) * channels_of(self.clip)

    def __getitem__(self, index: int) -> ClipItem:
        row = self.manifest.row(index)
        frames = _empty_views(self.clip, self.views)
        try:
            notes = self._read(frames, index, row)
        except BrokenClip as error:
            broken = not isinstance(error, NoSound)
            return make_item(self.manifest, index, row, np.zeros_like(frames), error.reason, broken=broken)
        return make_item(self.manifest, index, row, frames, "", broken=False, notes=notes)

    def each(self, keys: Iterable[int]) -> Iterator[ClipItem]:
        """The items of ``keys``, in order."""
        return map(self.__getitem__, keys)

    def _read(self, frames: NDArray[np.uint8], index: int, row: ManifestRow) -> Collection[Note]:
        """Fill ``frames`` with the views of a clip; returns notes on it."""
        rng = view_rng(row.id)
        if self.clip.modality == "audio":
            path, window = clip_path(self.manifest.root, row.path), (row.start, row.frames)
            frames[:], notes = test_segments(path, window, self.clip, self.views, self._decoding, rng)
            return notes
        known = self._known.index(index, row.path)
        with open_row(self.manifest, row, self._flow, self._decoding, known) as reader:
            seen = resampling_of(reader, self.views.fps, self._decoding)
            _fill_views(frames, reader, self.clip, self.views, rng, seen)
            return reader.notes


def load_views(
    path: Path,
    media: Media,
    clip: ClipConfig,
    views: ViewConfig,
    frame_template: str,
    decoding: DecodeSettings = USUAL,
) -> Tensor:
    """The views (V, T, C, crop, crop) uint8 of a clip that is in no manifest, as :class:`TestClips` gives them.

    Its optical flow, where that is asked for, is computed here, from the frames that the views need, as
    :class:`~tinkit.data.flow.computed.FlowSettings` has it. What is drawn is drawn from the file's name. Raises
    :class:`~tinkit.data.decode.clip_reader.BrokenClip`, and :class:`~tinkit.errors.UserError` if flow cannot be
    computed.
    """
    return load_noted_views(path, media, clip, views, frame_template, decoding)[0]


def load_noted_views(
    path: Path,
    media: Media,
    clip: ClipConfig,
    views: ViewConfig,
    frame_template: str,
    decoding: DecodeSettings = USUAL,
) -> tuple[Tensor, list[Note]]:
    """As :func:`load_views`, with the views what users should know about the clip."""
    check_views(clip, views)
    frames = _empty_views(clip, views)
    if clip.modality == "audio":
        if media == "frames":
            raise NoSound(" in a folder of images")
        frames[:], notes = test_segments(path, (0, None), clip, views, decoding, view_rng(path.name))
        return torch.from_numpy(frames).movedim(-1, -3), sorted(notes)
    with open_clip(path, media, frame_template, decoding=decoding) as opened:
        if opened.num_frames < 1:
            raise NoFrames("no frame found")
        reader = ComputedFlow(opened, FlowSettings()) if clip.modality == "flow" else opened
        seen = resampling_of(reader, views.fps, decoding)
        _fill_views(frames, reader, clip, views, view_rng(path.name), seen)
    return torch.from_numpy(frames).movedim(-1, -3), sorted(reader.notes)


def _empty_views(clip: ClipConfig, views: ViewConfig) -> NDArray[np.uint8]:
    num_segments = views.num_segments or clip.num_segments
    return np.zeros((views.count, num_segments, *image_shape(clip, views), channels_of(clip)), dtype=np.uint8)


def _fill_views(
    frames: NDArray[np.uint8],
    reader: ClipReader,
    clip: ClipConfig,
    views: ViewConfig,
    rng: np.random.Generator,
    seen: Resampling | None,
) -> None:
    """Read, scale and cut the frames of every view into ``frames`` (V, T, crop, crop, C)."""
    grid, length = views.parsed, frames_a_segment(clip.modality, clip.flow_length)
    if seen is None:
        rule = (views.sampling, reader.num_frames, frames.shape[1], grid.temporal, views.stride)
        firsts = sampling.test_frames(*rule, rng, length=length)
    else:
        firsts = seen.test_frames(reader.num_frames, frames.shape[1], grid.temporal)
    samples = sampling.stacks(firsts, reader.num_frames, length)
    parts = by_frame(frames, clip)
    boxes: Sequence[crops.Box] = ()
    shape: tuple[int, ...] | None = None
    for index, frame in reader.frames(samples.ravel().tolist()):
        scaled = crops.scale_short_side(frame, views.scale)
        if shape is None:
            height, width = scaled.shape[:2]
            boxes, shape = crops.test_boxes(width, height, views.crop, grid.spatial), frame.shape
        check_size(frame.shape, shape)
        for k, t, place in np.argwhere(samples == index):
            for s, box in enumerate(boxes):
                parts[k * grid.spatial + s, t, :, :, place] = crops.cut(scaled, box)
        del frame, scaled  # one frame in memory at a time
    if views.flip:
        frames[grid.count :] = crops.mirror(frames[: grid.count], flow=clip.modality == "flow")
