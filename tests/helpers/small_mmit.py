"""Annotations of three clips in the layout of Multi-Moments in Time, without the clips."""

from __future__ import annotations

from pathlib import Path

from tinkit.data.config.dataset import DataConfig

TRAIN = "sing/yt-a_1.mp4,1\nsing/yt-a_4.mp4,0,2\npet/getty-id7_13.mp4,2\n"


def small_mmit(folder: Path) -> Path:
    """The data set's own folder, made in ``folder``."""
    root = folder / "mmit"
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/categories.txt").write_text("stroking/petting\nsinging\nrunning\nnever seen\n")
    (root / "annotations/trainingSet.csv").write_text(TRAIN)
    (root / "annotations/validationSet.csv").write_text("x/1.mp4,0\n")
    (root / "annotations/testSet.csv").write_text("x/2.mp4\n")
    return root


def config(root: Path, **keys: object) -> DataConfig:
    return DataConfig(dataset="mmit", root=root, **keys)
