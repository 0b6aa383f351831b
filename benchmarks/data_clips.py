"""Clips to read in a benchmark: textured pictures that move, as folders of jpg and as videos, and their manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tinkit.data.config.dataset import DataConfig
from tinkit.data.layouts.layout import Media
from tinkit.data.manifest.manifest import Manifest, open_manifest

FRAMES, RATE = 90, 30
"""Three seconds, as a clip of Moments in Time has."""

_OCTAVES = (4, 12, 36, 108, 324)
_CLASSES = 174
_H264 = {"crf": "23", "sc_threshold": "0"}
_VP9 = {"crf": "33", "deadline": "good", "cpu-used": "4"}


@dataclass(frozen=True)
class Case:
    """A kind of file: its frames' size, and for a video the suffix, the encoder and its options."""

    name: str
    width: int
    height: int
    suffix: str = ""
    encoder: str = ""
    options: tuple[tuple[str, str], ...] = ()
    group: int = 0
    """Frames from one keyframe to the next."""

    @property
    def is_video(self) -> bool:
        return bool(self.encoder)


CASES = (
    Case("jpg 340x256", 340, 256),
    Case("jpg 176x100", 176, 100),
    Case("mp4 one GOP", 340, 256, ".mp4", "libx264", tuple(_H264.items()), 250),
    Case("mp4 12-frame GOP", 340, 256, ".mp4", "libx264", tuple(_H264.items()), 12),
    Case("webm VP9", 340, 256, ".webm", "libvpx-vp9", tuple(_VP9.items()), 128),
)


def make_clips(case: Case, folder: Path, count: int) -> tuple[Manifest, float]:
    """``count`` clips of a kind below ``folder`` as a training split; also the mean kB of a clip."""
    media = folder / "media"
    media.mkdir(parents=True)
    names = [f"clip{number:03d}{case.suffix}" for number in range(count)]
    for number, name in enumerate(names):
        frames = _moving_pictures(case.width, case.height, number)
        (_write_video if case.is_video else _write_folder)(media / name, frames, case)
    (folder / "train.txt").write_text("".join(f"{name} {FRAMES} {n % _CLASSES}\n" for n, name in enumerate(names)))
    (folder / "category.txt").write_text("".join(f"class {number}\n" for number in range(_CLASSES)))
    size = sum(file.stat().st_size for file in media.rglob("*") if file.is_file())
    return manifest_of(case, folder), size / 1000 / count


def manifest_of(case: Case, folder: Path) -> Manifest:
    """The training split of clips that were made below ``folder``."""
    media: Media = "video" if case.is_video else "frames"
    return open_manifest(DataConfig(dataset="list", root=folder, media=media, media_folder="media"), "train")


def _moving_pictures(width: int, height: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Frames (H, W, 3): a camera that pans over a wall, a patch that crosses it, and a sensor's noise."""
    random = np.random.default_rng(seed)
    wall = _texture(2 * width, 2 * height, random)
    patch = _texture(width // 3, height // 3, random)
    pan, way = random.uniform(-1, 1, 2), random.uniform(-1, 1, 2)
    for number in range(FRAMES):
        at = number / (FRAMES - 1) - 0.5
        left, top = (int(side / 2 * (1 + at * step)) for side, step in zip((width, height), pan, strict=True))
        frame = wall[top : top + height, left : left + width].astype(np.float32)
        x, y = (int(side / 3 * (1 + at * step)) for side, step in zip((width, height), way, strict=True))
        frame[y : y + height // 3, x : x + width // 3] = patch
        frame += random.normal(0, 1.5, frame.shape).astype(np.float32)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _texture(width: int, height: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(height, width, 3): noise whose strength falls with its frequency, as in photographs."""
    picture = np.full((height, width, 3), 128, np.float32)
    for cells in _OCTAVES:
        grid = random.integers(0, 256, (max(2, cells * height // width), cells, 3), np.uint8)
        octave = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        picture += (np.asarray(octave, np.float32) - 128) * (1.9 / np.sqrt(cells))
    return picture


def _write_folder(path: Path, frames: Iterator[NDArray[np.uint8]], case: Case) -> None:
    path.mkdir()
    for number, frame in enumerate(frames, 1):
        data = simplejpeg.encode_jpeg(frame, quality=90, colorspace="RGB", colorsubsampling="420")
        (path / f"{number:05d}.jpg").write_bytes(data)


def _write_video(path: Path, frames: Iterator[NDArray[np.uint8]], case: Case) -> None:
    with av.open(str(path), "w") as container:
        options = {**dict(case.options), "g": str(case.group)}
        stream: Any = container.add_stream(case.encoder, rate=Fraction(RATE), options=options)
        stream.width, stream.height, stream.pix_fmt = case.width, case.height, "yuv420p"
        stream.bit_rate = 0
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
