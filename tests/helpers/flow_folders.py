"""Folders of optical flow, in each of the layouts, that the tests make for themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tinkit.data.config.dataset import FlowLayout
from tinkit.data.flow.folders import FlowFiles


def flow_pairs(count: int, width: int = 60, height: int = 40, seed: int = 0) -> np.ndarray:
    """uint8 (count, H, W, 2): smooth fields, different in every pair and in x and y."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (count, 4, 5, 2), dtype=np.uint8)
    planes = [
        [np.asarray(Image.fromarray(pair[..., c]).resize((width, height), Image.Resampling.BILINEAR)) for c in (0, 1)]
        for pair in coarse
    ]
    return np.stack([np.stack(pair, axis=-1) for pair in planes])


def write_flow(folder: Path, pairs: np.ndarray, layout: FlowLayout, first: int = 1) -> Path:
    """``pairs`` as PNGs that are called .jpg: what is read can be compared exactly."""
    folder.mkdir(parents=True)
    for number, pair in enumerate(pairs, first):
        if layout == "packed":
            packed = np.concatenate([pair, np.zeros_like(pair[..., :1])], axis=-1)
            Image.fromarray(packed).save(folder / f"{number:06d}.jpg", format="PNG")
            continue
        for axis, letter in enumerate("xy"):
            name = (
                f"flow_{letter}_{number:05d}.jpg" if layout == "flow_x" else f"{folder.name}-{letter}_{number:05d}.jpg"
            )
            Image.fromarray(pair[..., axis]).save(folder / name, format="PNG")
    return folder


def files_of(layout: FlowLayout = "flow_x") -> FlowFiles:
    """Where those folders are: in ``flow`` below the root, beside videos at the root."""
    return FlowFiles("flow", layout, "video", "", "{:06d}.jpg")
