"""The benchmark of data: its clips, that its pipelines make the same clip, and its intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data import median_interval
from benchmarks.data_clips import CASES, FRAMES, make_clips
from benchmarks.data_peers import SEGMENTS, SIZE, pipelines
from tinkit.data.decode.open_clip import open_clip

MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def small_jpgs(folder: Path) -> Path:
    manifest, _ = make_clips(CASES[1], folder, 1)
    return manifest.root / manifest.row(0).path


def test_pipelines_of_one_draw_show_the_same_pictures(tmp_path: Path) -> None:
    clip = small_jpgs(tmp_path)
    made: dict[str, Any] = {
        name: make(clip, np.random.default_rng(1)) for name, make in pipelines(video=False)[0].items()
    }
    house = made["decoding and native resize"].astype(float)
    assert house.std() > 10
    tin = made["TIN repository, float"].numpy().reshape(SEGMENTS, 3, SIZE, SIZE).transpose(0, 2, 3, 1) * STD + MEAN
    assert np.abs(tin - house).mean() < 0.5
    assert np.abs(made["simplejpeg and OpenCV, uint8"] - house).mean() < 1.5
    uint8 = made["mmaction2 1.x, uint8"]
    normalised = made["mmaction2 0.x, float"].numpy()
    assert np.allclose(normalised.transpose(0, 2, 3, 1) * STD + MEAN, uint8.transpose(0, 2, 3, 1), atol=1e-3)
    assert abs(uint8.mean() - house.mean()) < 10


@pytest.mark.parametrize("case", [case for case in CASES if case.is_video], ids=lambda case: case.name)
def test_videos_are_of_the_length_and_groups_that_are_stated(case: Any, tmp_path: Path) -> None:
    manifest, size = make_clips(case, tmp_path, 1)
    with open_clip(manifest.root / manifest.row(0).path, "video") as reader:
        assert reader.num_frames == FRAMES
        assert reader.facts().keyframes == tuple(range(0, FRAMES, min(case.group, FRAMES)))
        assert reader.read([0, FRAMES - 1])[1].shape == (case.height, case.width, 3)
    assert 20 < size < 500


@pytest.mark.parametrize("count", [6, 9, 15, 31])
def test_an_interval_holds_the_median_as_often_as_it_says(count: int) -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(4000):
        low, high = median_interval(random.exponential(size=count).tolist())
        held += low <= np.log(2) <= high
    assert 0.94 < held / 4000 < 0.985
