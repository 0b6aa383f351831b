"""What clips for training and for testing share: their reader, their draws, and the frames that they fill.

Pixels leave here as uint8; they are normalised on the device. Frames lie in memory as (..., H, W, C) and are given
as a permuted view (..., C, H, W): with the last four axes taken as images that is torch's channels_last, at no cost.
C is 3 for RGB; for flow and RGB differences a segment's consecutive frames lie behind one another in it
(:func:`~tinkit.data.config.modality.read_channels`; the differences themselves are taken on the device).
A clip that cannot be read keeps its place: its frames are zero, ``valid`` is False and ``reason`` says why.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from tinkit.data.config.modality import channels_a_frame, read_channels
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_index import ClipIndex
from tinkit.data.decode.clip_reader import BrokenClip, ClipReader, NoFrames
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFiles, FlowFolder
from tinkit.data.manifest.frames import open_frames
from tinkit.data.manifest.manifest import Manifest, ManifestRow
from tinkit.data.paths.image_names import template_pattern
from tinkit.data.sampling.jpegs import can_show_jpegs
from tinkit.data.sampling.rates import SLOWEST, Resampling
from tinkit.data.sampling.resize import load_kernel
from tinkit.errors import UserError

USUAL = DecodeSettings()
"""How pixels are read unless a recipe says otherwise."""


def clip_rng(seed: int, epoch: int, clip_id: str, repeat: int = 0) -> np.random.Generator:
    """The generator of one clip's cutting in one epoch: a function of nothing but (seed, epoch, id, repeat)."""
    return _generator(f"{seed}\0{epoch}\0{clip_id}" + (f"\0{repeat}" if repeat else ""))


def view_rng(clip_id: str) -> np.random.Generator:
    """The generator of one clip's test views: a function of its id, so that they are the same every time."""
    return _generator(f"views\0{clip_id}")


def _generator(key: str) -> np.random.Generator:
    digest = blake2b(key.encode(errors="surrogateescape"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def require_files(manifest: Manifest, clip: ClipConfig, flow: FlowFiles | None = None) -> None:
    """Raise :class:`~tinkit.errors.UserError` if of a few clips of ``manifest`` not one has what ``clip`` reads."""
    files = flow_asked_for(clip, flow)
    if files is None:
        manifest.require_media()
    else:
        files.require(manifest)


def open_row(
    manifest: Manifest,
    row: ManifestRow,
    flow: FlowFiles | None,
    decoding: DecodeSettings,
    index: ClipIndex | None = None,
) -> ClipReader:
    """The open clip of ``row``, or its optical flow where ``flow`` says where that lies; ``index`` is of the clip.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`, also for a clip without frames.
    """
    reader: ClipReader
    if flow is None:
        reader = open_frames(manifest, row, decoding, index)
    else:
        folder = flow.clip_folder(manifest.root, row.path)
        reader = FlowFolder(folder, flow.templates(folder), row.start, row.frames, decoding)
    if reader.num_frames < 1:
        reader.close()
        raise NoFrames("no frame found")
    return reader


def require_rate(manifest: Manifest, fps: float | None, flow: FlowFiles | None, decoding: DecodeSettings) -> None:
    """Raise :class:`~tinkit.errors.UserError` if clips are to be seen at ``fps`` and none has a frame rate."""
    if fps is None or decoding.rate is not None or (manifest.media == "video" and flow is None):
        return
    what = "folders of images" if flow is None else "images of optical flow"
    raise UserError(
        f"fps = {fps:g} samples by frame rate, and {what} have none",
        expected="data.rate, the frames a second that the images were written at",
        fix="--set data.rate=25, for example; or leave clip.fps and test.fps out and give a stride in frames",
    )


def resampling_of(reader: ClipReader, fps: float | None, decoding: DecodeSettings) -> Resampling | None:
    """How an open clip is seen at ``fps``; None where no rate is asked for.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a clip whose rate is not known.
    """
    if fps is None:
        return None
    stated = reader.facts().rate
    rate = stated if stated >= SLOWEST else decoding.rate
    if rate is None:
        raise BrokenClip("the file states no frame rate, which fps needs (data.rate gives it)")
    return Resampling(rate, fps)


def channels_of(clip: ClipConfig) -> int:
    """The channels of a segment as it leaves here."""
    return read_channels(clip.modality, clip.flow_length)


def flow_asked_for(clip: ClipConfig, flow: FlowFiles | None) -> FlowFiles | None:
    """``flow`` if ``clip`` reads optical flow, else None."""
    if clip.modality != "flow":
        return None
    if flow is None:
        raise ValueError("clip.modality = 'flow' needs to know where flow lies: give flow=FlowFiles.of(data)")
    return flow


def by_frame(frames: NDArray[np.uint8], clip: ClipConfig) -> NDArray[np.uint8]:
    """(..., H, W, C) as a view (..., H, W, L, channels of a frame): the consecutive frames of a segment apart."""
    return frames.reshape(*frames.shape[:-1], -1, channels_a_frame(clip.modality))


def check_size(size: tuple[int, ...], first: tuple[int, ...]) -> None:
    """Raise :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a frame of another size than the first one's."""
    if size != first:
        raise BrokenClip("frames of different sizes")


def prepare_to_read(manifest: Manifest) -> None:
    """Before any worker starts: refuse a template that names no files, which is not a broken clip, and load kernels."""
    load_kernel()
    if manifest.packed is not None:
        manifest.packed.require()
    if manifest.media == "frames":
        can_show_jpegs(np.empty((1, 1, 3), np.uint8))
        template_pattern(manifest.frame_template)
