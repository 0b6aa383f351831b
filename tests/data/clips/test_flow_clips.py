"""Clips of flow and of RGB differences: what a segment stacks, against the rules applied by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.helpers.flow_folders import files_of, flow_pairs, write_flow
from tests.helpers.video_files import decode_all, write_manifest, write_video
from tinkit.data.clips.loading import train_loader
from tinkit.data.clips.opening import clip_rng, require_files
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.modality import model_channels, read_channels
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.sampling import crops
from tinkit.data.sampling import frames as sampling
from tinkit.errors import UserError

FLOW = files_of()
COUNTS = {"long": 30, "few": 6, "one": 1}


@pytest.fixture(scope="module")
def pairs() -> dict[str, np.ndarray]:
    return {name: flow_pairs(count, seed=count) for name, count in COUNTS.items()}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, np.ndarray]) -> Manifest:
    """Clips that are there as flow only: nobody who reads flow needs the frames."""
    root = tmp_path_factory.mktemp("flow")
    for name, flow in pairs.items():
        write_flow(root / "flow" / name, flow, "flow_x")
    return write_manifest(root, [*((name, f"{name}.mp4", "a") for name in COUNTS), ("gone", "gone.mp4", "b")])


def flow_clip(**keys: object) -> ClipConfig:
    return ClipConfig.model_validate({"modality": "flow", "num_segments": 3, "size": 40, "crop": "centre", **keys})


def test_the_channels_of_each_modality() -> None:
    assert [read_channels(m, 5) for m in ("rgb", "flow", "rgb_diff")] == [3, 10, 18]
    assert [model_channels(m, 5) for m in ("rgb", "flow", "rgb_diff")] == [3, 10, 15]


def test_the_scales_of_training_crops_follow_the_modality() -> None:
    assert ClipConfig().scales == (1.0, 0.875, 0.75, 0.66)
    assert ClipConfig(modality="flow").scales == (1.0, 0.875, 0.75)
    assert ClipConfig(modality="rgb_diff", scales=(1.0,)).scales == (1.0,)
    assert ClipConfig.model_validate(ClipConfig(modality="flow").model_dump()) == ClipConfig(modality="flow")


@given(st.integers(1, 200), st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32))
def test_the_first_of_consecutive_frames_by_the_published_rules(n: int, t: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = sampling.train_frames("segments", n, t, 2, rng, length=length)
    d = (n - length + 1) // t
    if n >= length and d > 0:
        assert all(i * d <= first < (i + 1) * d for i, first in enumerate(found))
        tick = (n - length + 1) / t
        centre = sampling.test_frames("centre", n, t, 1, 2, rng, length=length)
        assert centre[0].tolist() == [int(tick / 2 + tick * i) for i in range(t)]
        twice = sampling.test_frames("twice", n, t, 2, 2, rng, length=length)
        assert twice[1].tolist() == [int(tick * i) for i in range(t)]
    stacked = sampling.stacks(found, n, length)
    for first, row in zip(found, stacked, strict=True):
        position = int(first)
        for frame in row:  # the reference's loop
            assert frame == position
            position += position < n - 1


@given(st.integers(1, 200), st.integers(1, 12), st.integers(0, 2**32), st.sampled_from(["segments", "dense"]))
def test_one_frame_a_segment_is_as_it_was(n: int, t: int, seed: int, rule: sampling.TrainRule) -> None:
    plain = sampling.segments if rule == "segments" else lambda n, t, rng: sampling.dense(n, t, 3, rng)
    wanted = plain(n, t, np.random.default_rng(seed))
    found = sampling.train_frames(rule, n, t, 3, np.random.default_rng(seed))
    assert np.array_equal(sampling.stacks(found, n, 1)[..., 0], wanted)


@pytest.mark.parametrize("name", ["long", "few", "one"])
def test_a_training_clip_stacks_five_pairs(manifest: Manifest, pairs: dict[str, np.ndarray], name: str) -> None:
    """x and y in turn, pair after pair, and x inverted where the clip is mirrored, by Pillow's own operations."""
    mirrored = 0
    for epoch in range(8):
        item = TrainClips(manifest, flow_clip(), 3, FLOW)[epoch, list(COUNTS).index(name)]
        assert item["frames"].shape == (3, 10, 40, 40)
        rng = clip_rng(3, epoch, name)
        n = COUNTS[name]
        firsts = sampling.segments(max(1, n - 4), 3, rng)
        flip = rng.random() < 0.5
        mirrored += flip
        for t, first in enumerate(firsts):
            for step in range(5):
                pair = pairs[name][min(first + step, n - 1)][:, 10:50]
                for axis in range(2):
                    image = Image.fromarray(pair[..., axis])
                    if flip:
                        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                        image = ImageOps.invert(image) if axis == 0 else image
                    assert np.array_equal(item["frames"][t, 2 * step + axis], np.asarray(image))
    assert 0 < mirrored < 8


def test_a_multiscale_crop_is_cut_and_resized_plane_by_plane(manifest: Manifest, pairs: dict[str, np.ndarray]) -> None:
    clip = flow_clip(crop="multiscale", size=32, flip=False)
    item = TrainClips(manifest, clip, 1, FLOW)[0, 0]
    rng = clip_rng(1, 0, "long")
    firsts = sampling.segments(26, 3, rng)
    rng.random()
    box = crops.multiscale(60, 40, 32, (1.0, 0.875, 0.75), rng)
    area = (box.left, box.top, box.left + box.width, box.top + box.height)
    for axis in range(2):
        image = Image.fromarray(pairs["long"][firsts[1] + 4][..., axis]).crop(area)
        wanted = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(item["frames"][1, 8 + axis], wanted)


@pytest.mark.parametrize(
    ("views", "flip"), [("1x1", False), ("1x1", True), ("2x3", False), ("2x3", True), ("1x10", False)]
)
def test_the_views_of_a_flow_clip(manifest: Manifest, pairs: dict[str, np.ndarray], views: str, flip: bool) -> None:
    config = ViewConfig(views=views, scale=40, crop=32, flip=flip)
    dataset = TestClips(manifest, flow_clip(), config, FLOW)
    frames = dataset[0]["frames"].numpy()
    plain = config.parsed
    samples = sampling.even(26, 3, plain.temporal)
    for view in range(config.count):
        k, s = divmod(view % plain.count, plain.spatial)
        box = crops.test_boxes(60, 40, 32, plain.spatial)[s]
        for t, first in enumerate(samples[k]):
            for step in range(5):
                pair = pairs["long"][first + step][box.top : box.top + 32, box.left : box.left + 32]
                if config.mirrored[view]:
                    pair = np.stack([255 - pair[:, ::-1, 0], pair[:, ::-1, 1]], axis=-1)
                assert np.array_equal(frames[view, t, 2 * step : 2 * step + 2], pair.transpose(2, 0, 1))


def test_clips_without_flow_and_batches(manifest: Manifest) -> None:
    dataset = TrainClips(manifest, flow_clip(flow_length=2), 0, FLOW)
    gone = dataset[0, 3]
    assert (gone["valid"], gone["broken"], gone["reason"]) == (False, True, "no such folder")
    assert not gone["frames"].any()
    batch = next(iter(train_loader(dataset, batch=4, epoch=0)))
    assert batch["frames"].shape == (4, 3, 4, 40, 40)
    assert batch["frames"].flatten(0, 1).permute(0, 2, 3, 1).is_contiguous()
    require_files(manifest, flow_clip(), FLOW)
    with pytest.raises(UserError, match="clips of 'train'"):
        require_files(manifest, ClipConfig())
    with pytest.raises(ValueError, match="FlowFiles"):
        TrainClips(manifest, flow_clip(), 0)


def test_short_clips_are_counted_in_frames_not_in_pairs(tmp_path: Path) -> None:
    write_flow(tmp_path / "flow/two", flow_pairs(2), "flow_x")
    rows = [("two", "two.mp4", "a")]
    keep, leave = (write_manifest(tmp_path, rows, min_frames=count) for count in ("3", "4"))
    assert TrainClips(keep, flow_clip(), 0, FLOW)[0, 0]["valid"]
    assert "3 frames, fewer" in TrainClips(leave, flow_clip(), 0, FLOW)[0, 0]["reason"]


def test_rgb_differences_are_read_as_six_frames(tmp_path: Path) -> None:
    truth = decode_all(write_video(tmp_path / "v.mp4", count=20))
    manifest = write_manifest(tmp_path, [("v", "v.mp4", "a")])
    clip = ClipConfig(modality="rgb_diff", num_segments=2, size=64, crop="centre", flip=False)
    frames = TrainClips(manifest, clip, 5)[0, 0]["frames"].numpy()
    assert frames.shape == (2, 18, 64, 64)
    firsts = sampling.segments(15, 2, clip_rng(5, 0, "v"))
    views = TestClips(manifest, clip, ViewConfig(scale=64, crop=64))[0]["frames"].numpy()[0]
    for found, starts in ((frames, firsts), (views, sampling.centre(15, 2))):
        for t, first in enumerate(starts):
            for step in range(6):
                assert np.array_equal(
                    found[t, 3 * step : 3 * step + 3].transpose(1, 2, 0), truth[first + step][:, 16:80]
                )
