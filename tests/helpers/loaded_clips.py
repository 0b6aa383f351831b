"""Thirteen clips to be loaded, and whether two loaders gave the same batches."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.helpers.video_files import write_manifest, write_video
from tinkit.data.clips.batch import Batch
from tinkit.data.config.views import ClipConfig
from tinkit.data.manifest.manifest import Manifest

CLIP = ClipConfig(num_segments=3, size=16)


def thirteen_clips(root: Path) -> Manifest:
    """Videos of 8 to 20 frames in ``root``, of which number 5 is broken."""
    rows = []
    for number in range(13):
        path = root / f"{number}.mp4"
        if number == 5:
            path.write_bytes(b"broken")
        else:
            write_video(path, count=8 + number, width=40, height=30, seed=number)
        rows.append((f"clip {number}", path.name, "abc"[number % 3]))
    return write_manifest(root, rows)


def equal(a: Batch, b: Batch) -> bool:
    left, right = (
        (batch["frames"], batch["labels"], batch["labelled"], batch["index"], batch["valid"]) for batch in (a, b)
    )
    return a["reason"] == b["reason"] and all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


def all_equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
