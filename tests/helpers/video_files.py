"""Videos, image folders and manifests that the tests of tinkit.data make for themselves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import Manifest, open_manifest


def moving_pixels(count: int, width: int, height: int, seed: int = 0) -> list[np.ndarray]:
    """``count`` different frames: a smooth random texture that moves. uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((width + count, height + count), Image.Resampling.BILINEAR))
    return [np.ascontiguousarray(texture[i : i + height, i : i + width]) for i in range(count)]


def write_video(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 40,
    width: int = 96,
    height: int = 64,
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    seed: int = 0,
    container: dict[str, str] | None = None,
    **options: Any,
) -> Path:
    """A real video file. ``times`` gives each frame's time in 30ths of a second (variable frame rate)."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number, picture in enumerate(moving_pixels(count, width, height, seed)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if times is None else times[number]
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return path


def decode_all(path: Path) -> list[np.ndarray]:
    """The truth: every frame, decoded from the beginning by PyAV's own loop."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_images(folder: Path, count: int, width: int = 60, height: int = 40, first: int = 1, seed: int = 0) -> Path:
    """A folder of JPEGs named {:05d}.jpg, numbered from ``first``."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(moving_pixels(count, width, height, seed), first):
        Image.fromarray(picture).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def write_manifest(root: Path, rows: list[tuple[str, str, str]], split: str = "train", **config: str) -> Manifest:
    """A manifest of own data with classes a, b and c from rows (id, path, labels) with labels such as "a c"."""
    (root / "classes.txt").write_text("a\nb\nc\n")
    with (root / f"{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "path", "labels"))
        writer.writerows(rows)
    return open_manifest(DataConfig.model_validate({"dataset": "table", "root": root, **config}), split)
