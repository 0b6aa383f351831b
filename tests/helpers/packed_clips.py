"""Clips that tests pack, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.frames import PackedFrames
from tinkit.data.packed.index import PackSettings
from tinkit.data.packing.pack import pack_split
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.sources import SourceFiles
from tinkit.spread.engine import WHOLE, Engine, Share

IDS = ("a", "folder/b.mp4", "日本.mp4", "-c%2E.x", "d" * 150, "é/" * 60)
SMALL = PackSettings(pixels=48)
PLAIN = DecodeSettings()


HERE = Engine(0)


def files(manifest: Manifest) -> SourceFiles:
    return SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, PLAIN)


def place(root: Path, settings: PackSettings = SMALL, most: int = 60_000) -> PackTo:
    return PackTo(root / "packed", "train", most, settings)


def pack(manifest: Manifest, share: Share = WHOLE, **more: Any) -> Any:
    return pack_split(manifest, files(manifest), place(manifest.root, **more), HERE, share)


def packed(manifest: Manifest) -> PackedFrames:
    return PackedFrames(str(manifest.root / "packed"), ("train",))


def frames_of(manifest: Manifest, clip_id: str) -> list[np.ndarray]:
    with packed(manifest).open(clip_id, 0, None, PLAIN) as reader:
        return reader.read(range(reader.num_frames))
