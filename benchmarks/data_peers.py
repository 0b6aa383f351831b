"""One training clip as other kits' data pipelines make it, written with the libraries that they are made of.

All of them read T = 8 frames, one drawn of each segment, and cut a multi-scale crop that they resize to 224 x 224 and
mirror half of the time. mmaction2 first resizes every frame to a short side of 256, as its recipes for TSN and TSM do.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tinkit.data.sampling.crops import Box, multiscale
from tinkit.data.sampling.resize import resize_into

SEGMENTS, SIZE, SCALES = 8, 224, (1.0, 0.875, 0.75, 0.66)
_SHORT = 256
_MEAN = np.array([123.675, 116.28, 103.53], np.float64)
_STD = np.array([58.395, 57.12, 57.375], np.float64)

Frames = Sequence[NDArray[np.uint8]]
Rng = np.random.Generator
Pipeline = Callable[[Path, Rng], object]
"""Makes the clip at a path: a folder of jpg, or a video."""


def add_peers(folder: Path) -> None:
    """Let packages be imported that were installed into ``folder`` alone, behind those of the environment."""
    if folder.is_dir():
        sys.path.append(str(folder.resolve()))


def pipelines(*, video: bool) -> tuple[dict[str, Pipeline], list[str]]:
    """The pipelines that can run, by name, and the packages that others would need."""
    if not video:
        return {
            "decoding alone": lambda path, rng: _jpg_by_simplejpeg(path, _draw_frames(_count(path), rng)),
            "decoding and native resize": _bare_folder,
            "simplejpeg and OpenCV, uint8": _simplejpeg_and_opencv,
            "mmaction2 1.x, uint8": lambda path, rng: _mmaction(_jpg_by_opencv(path, rng), rng),
            "mmaction2 0.x, float": lambda path, rng: _normalised(_mmaction(_jpg_by_opencv(path, rng), rng)),
            "TIN repository, float": _tin_repository,
        }, []
    found: dict[str, Pipeline] = {
        "decoding alone": lambda path, rng: _video_by_av(path, rng),
        "decoding and native resize": lambda path, rng: _cut(_video_by_av(path, rng), rng),
    }
    missing = [name for name in ("decord", "torchcodec") if find_spec(name) is None]
    if "decord" not in missing:
        found["mmaction2 1.x, uint8"] = lambda path, rng: _mmaction(_video_by_decord(path, rng), rng)
        found["mmaction2 0.x, float"] = lambda path, rng: _normalised(_mmaction(_video_by_decord(path, rng), rng))
    if "torchcodec" not in missing:
        found["torchcodec, uint8"] = _torchcodec
    return found, missing


def _draw_frames(count: int, rng: Rng) -> list[int]:
    length = count // SEGMENTS
    drawn: list[int] = (np.arange(SEGMENTS) * length + rng.integers(length, size=SEGMENTS)).tolist()
    return drawn


def _draw_box(width: int, height: int, rng: Rng) -> tuple[Box, bool]:
    return multiscale(width, height, SIZE, SCALES, rng), bool(rng.random() < 0.5)


def _count(folder: Path) -> int:
    """The frames of a folder, of which other kits' lists tell them."""
    return _COUNTS.setdefault(folder, sum(1 for _ in folder.iterdir()))


_COUNTS: dict[Path, int] = {}


def _name(folder: Path, index: int) -> str:
    return f"{folder}/{index + 1:05d}.jpg"


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - as mmcv reads
        return file.read()


def _jpg_by_simplejpeg(folder: Path, indices: list[int]) -> Frames:
    return [simplejpeg.decode_jpeg(_bytes(_name(folder, index))) for index in indices]


def _jpg_by_opencv(folder: Path, rng: Rng) -> Frames:
    frames = []
    for index in _draw_frames(_count(folder), rng):
        frame: Any = cv2.imdecode(np.frombuffer(_bytes(_name(folder, index)), np.uint8), cv2.IMREAD_COLOR)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, frame))
    return frames


def _video_by_av(path: Path, rng: Rng) -> Frames:
    """Decode up to the last frame that is drawn, and make RGB of those that are."""
    frames: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = set(_draw_frames(stream.frames or _VIDEO_FRAMES, rng))
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == len(wanted):
                    break
    return frames


_VIDEO_FRAMES = 90  # of a webm, which does not say how many it has


def _video_by_decord(path: Path, rng: Rng) -> Frames:
    import decord

    reader: Any = decord.VideoReader(io.BytesIO(_bytes(str(path))), num_threads=1)
    return list(reader.get_batch(_draw_frames(len(reader), rng)).asnumpy())


def _torchcodec(path: Path, rng: Rng) -> Tensor:
    from torchcodec.decoders import VideoDecoder

    decoder: Any = VideoDecoder(str(path), num_ffmpeg_threads=1)
    frames: Tensor = decoder.get_frames_at(_draw_frames(len(decoder), rng)).data
    box, mirrored = _draw_box(frames.shape[3], frames.shape[2], rng)
    parts = frames[:, :, box.top : box.top + box.height, box.left : box.left + box.width]
    parts = torch.nn.functional.interpolate(parts, (SIZE, SIZE), mode="bilinear", antialias=True)
    return parts.flip(-1) if mirrored else parts


def _mmaction(frames: Frames, rng: Rng) -> NDArray[np.uint8]:
    """Resize, MultiScaleCrop, Resize, Flip and FormatShape on decoded frames; (T, C, H, W)."""
    height, width = frames[0].shape[:2]
    scale = _SHORT / min(width, height)
    size = int(width * scale + 0.5), int(height * scale + 0.5)
    frames = [_resized(frame, size) for frame in frames]
    box, mirrored = _draw_box(*size, rng)
    frames = [_resized(_part(frame, box), (SIZE, SIZE)) for frame in frames]
    if mirrored:
        for frame in frames:
            cv2.flip(frame, 1, frame)
    return np.stack(frames).transpose(0, 3, 1, 2)


def _normalised(frames: NDArray[np.uint8]) -> Tensor:
    """Normalize on (T, C, H, W), image by image, as mmcv does it."""
    pictures = np.empty((SEGMENTS, SIZE, SIZE, 3), np.float32)
    target: Any
    for target, frame in zip(pictures, frames.transpose(0, 2, 3, 1), strict=True):
        target[:] = frame
        cv2.subtract(target, (*_MEAN, 0.0), target)
        cv2.multiply(target, (*(1 / _STD), 0.0), target)
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2))


def _simplejpeg_and_opencv(folder: Path, rng: Rng) -> NDArray[np.uint8]:
    """What these two libraries do at their quickest: one resize, into the clip's own memory."""
    frames = _jpg_by_simplejpeg(folder, _draw_frames(_count(folder), rng))
    box, mirrored = _draw_box(frames[0].shape[1], frames[0].shape[0], rng)
    clip = np.empty((SEGMENTS, SIZE, SIZE, 3), np.uint8)
    for target, frame in zip(clip, frames, strict=True):
        cv2.resize(_part(frame, box), (SIZE, SIZE), target)
        if mirrored:
            cv2.flip(target, 1, target)
    return clip


def _bare_folder(folder: Path, rng: Rng) -> NDArray[np.uint8]:
    return _cut(_jpg_by_simplejpeg(folder, _draw_frames(_count(folder), rng)), rng)


def _cut(frames: Frames, rng: Rng) -> NDArray[np.uint8]:
    """tinkit's resize of decoded frames, without anything around it."""
    box, mirrored = _draw_box(frames[0].shape[1], frames[0].shape[0], rng)
    clip = np.empty((SEGMENTS, SIZE, SIZE, 3), np.uint8)
    for target, frame in zip(clip, frames, strict=True):
        resize_into(target, _part(frame, box), mirrored=mirrored)
    return clip


def _tin_repository(folder: Path, rng: Rng) -> Tensor:
    """PIL decoding, GroupMultiScaleCrop, GroupRandomHorizontalFlip, Stack, ToTorchFormatTensor, GroupNormalize."""
    images = [Image.open(_name(folder, index)).convert("RGB") for index in _draw_frames(_count(folder), rng)]
    box, mirrored = _draw_box(*images[0].size, rng)
    where = (box.left, box.top, box.left + box.width, box.top + box.height)
    images = [image.crop(where).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for image in images]
    if mirrored:
        images = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
    stacked = torch.from_numpy(np.concatenate([np.asarray(image) for image in images], axis=2))
    clip = stacked.permute(2, 0, 1).contiguous().float().div(255)
    for channel, mean, std in zip(clip, np.tile(_MEAN, SEGMENTS), np.tile(_STD, SEGMENTS), strict=True):
        channel.sub_(mean / 255).div_(std / 255)
    return clip


def _part(frame: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    return frame[box.top : box.top + box.height, box.left : box.left + box.width]


def _resized(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    resized: Any = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    return resized
