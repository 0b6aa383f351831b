"""Optical flow of whole data sets: computed clip by clip in several processes, resumable, with a reason for each clip
that has none."""

from __future__ import annotations

import errno
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import simplejpeg

from tinkit.data.decode.clip_reader import BrokenClip, Frame
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.computed import ComputedFlow, FlowSettings, flow_function
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.errors import UserError
from tinkit.files.claims import claim_folder
from tinkit.files.locks import InUseError, writing
from tinkit.spread.engine import WHOLE, Engine, Share

STATE = ".tinkit-flow.json"
"""In the folder of flow: how it was computed, so that one data set never mixes two methods."""

_QUALITY = 95
_CLIPS_A_TASK = 4
_SHOP = ".tinkit-flow-"
_OWNER = ".owner"


@dataclass(frozen=True)
class FlowResult:
    """What happened to the clips: computed now, found complete, and {path: why} for those that have no flow."""

    made: int
    found: int
    failed: dict[str, str]


@dataclass(frozen=True)
class _Job:
    """One clip to compute: its media, its folder, and the path that the manifest has for it."""

    path: str
    clip: Path
    folder: Path


@dataclass(frozen=True)
class _How:
    """How all clips are read and computed."""

    frame_template: str
    files: FlowFiles
    settings: FlowSettings
    decoding: DecodeSettings


def make_flow(
    manifests: Sequence[Manifest],
    files: FlowFiles,
    settings: FlowSettings,
    *,
    engine: Engine = Engine(),
    share: Share = WHOLE,
    on_clips: Callable[[int], None] | None = None,
    decoding: DecodeSettings = DecodeSettings(),
) -> FlowResult:
    """Compute the flow of every clip of ``manifests`` (of one data set) that has none yet, or of a share of them.

    ``on_clips(n)`` is called with n more. A clip's folder appears when it is whole, so that an interrupted run is
    completed by the same call, and several of them may run at once. A clip that cannot be decoded is reported and left
    out: a call for all clips finds complete, computes, or reports each. Raises :class:`~tinkit.errors.UserError`,
    before anything is written, if OpenCV is missing, if the folder holds flow that was computed otherwise, and if it is
    that of the frames themselves.
    """
    flow_function(settings.method)
    root = manifests[0].root
    wanted = share.of(_jobs(manifests, files))
    _claim(root / files.folder, files, settings)
    todo = [job for job in wanted if not job.folder.is_dir()]
    if on_clips is not None:
        on_clips(len(wanted) - len(todo))
    failed: dict[str, str] = {}
    how = _How(manifests[0].frame_template, files, settings, decoding)
    # the processes must have ended before their workshop is removed
    with _workshop(root / files.folder) as shop, closing(_run(todo, shop, how, engine)) as results:
        for count, reasons in results:
            failed |= reasons
            if on_clips is not None:
                on_clips(count)
    return FlowResult(len(todo) - len(failed), len(wanted) - len(todo), failed)


def count_clips(manifests: Sequence[Manifest]) -> int:
    """How many clips :func:`make_flow` will look at: rows that cut windows out of one video share its flow."""
    return len({path for manifest in manifests for path in manifest.paths})


def _jobs(manifests: Sequence[Manifest], files: FlowFiles) -> list[_Job]:
    root = manifests[0].root
    if files.media == "frames" and Path(files.folder) == Path(files.media_folder):
        raise UserError(
            f"data.flow_folder is the folder of the frames ({files.folder!r}): flow can be read there, not computed",
            fix="name another folder",
        )
    jobs: dict[Path, _Job] = {}
    for path in dict.fromkeys(path for manifest in manifests for path in manifest.paths):
        folder = files.clip_folder(root, path)
        other = jobs.setdefault(folder, _Job(path, clip_path(root, path), folder))
        if other.path != path:
            raise UserError(f"the clips {other.path!r} and {path!r} would share the folder of flow {folder}")
    return list(jobs.values())


def _claim(folder: Path, files: FlowFiles, settings: FlowSettings) -> None:
    """Write down how the flow in ``folder`` is computed, or refuse if it was computed otherwise."""
    wanted = {"layout": files.layout, **settings.model_dump()}
    claim_folder(folder / STATE, wanted, what="flow", command="tinkit data flow", key="data.flow_folder")


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder of this run's own in which clips are made; those of runs that were killed are removed.

    Its lock lies beside it and is taken before it is made, so that it never seems abandoned.
    """
    for lock in folder.glob(f".{_SHOP}*{_OWNER}.lock"):
        owner = lock.with_name(lock.name[1 : -len(".lock")])
        with suppress(InUseError), writing(owner):
            shutil.rmtree(owner.with_name(owner.name[: -len(_OWNER)]), ignore_errors=True)
    shop = folder / f"{_SHOP}{secrets.token_hex(4)}"
    with writing(shop.with_name(shop.name + _OWNER)):
        shop.mkdir()
        try:
            yield shop
        finally:
            shutil.rmtree(shop, ignore_errors=True)


def _run(todo: Sequence[_Job], shop: Path, how: _How, engine: Engine) -> Generator[tuple[int, dict[str, str]]]:
    """Compute every clip of ``todo``; yields (clips, {path: why not}) as tasks end."""
    chunks = [tuple(todo[begin : begin + _CLIPS_A_TASK]) for begin in range(0, len(todo), _CLIPS_A_TASK)]
    if not chunks:
        return
    spread = engine.spread(partial(_make, shop, how), lambda job: (job.path, "its reader crashed"))
    for results in spread.results(chunks):
        yield len(results), {path: reason for path, reason in results if reason}


def _make(shop: Path, how: _How, jobs: tuple[_Job, ...]) -> list[tuple[str, str]]:
    """In one of the engine's processes: compute some clips; (path, why not), empty for those that have flow."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    made = []
    for job in jobs:
        try:
            _make_clip(job, shop, how)
            made.append((job.path, ""))
        except BrokenClip as error:
            made.append((job.path, error.reason))
    return made


def _make_clip(job: _Job, shop: Path, how: _How) -> None:
    temporary = Path(tempfile.mkdtemp(dir=shop))
    temporary.chmod(shop.parent.stat().st_mode & 0o777)  # temporary folders are for their owner alone
    templates = how.files.templates(job.folder)
    try:
        with open_clip(job.clip, how.files.media, how.frame_template, decoding=how.decoding) as clip:
            flow = ComputedFlow(clip, how.settings)
            for index, pair in flow.frames(range(flow.num_frames)):
                for template, data in zip(templates, _encode(pair, len(templates)), strict=True):
                    (temporary / template.format(index + 1)).write_bytes(data)
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.rename(job.folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise  # else another run was faster, and its clip is whole
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _encode(pair: Frame, images: int) -> list[bytes]:
    """A pair as two grey JPEGs, or as one whose red and green are x and y (blue: none) at full resolution."""
    if images == 2:
        planes = [np.ascontiguousarray(pair[..., channel, None]) for channel in range(2)]
        return [simplejpeg.encode_jpeg(plane, quality=_QUALITY, colorspace="GRAY") for plane in planes]
    packed = np.concatenate([pair, np.zeros_like(pair[..., :1])], axis=-1)
    return [simplejpeg.encode_jpeg(packed, quality=_QUALITY, colorspace="RGB", colorsubsampling="444")]
