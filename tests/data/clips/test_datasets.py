"""Clips: what a data set cuts out of real files, against the rules applied by hand; broken clips; determinism."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.video_files import decode_all, write_images, write_manifest, write_video
from tinkit.data.clips.opening import clip_rng
from tinkit.data.clips.testing import TestClips, load_views
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.sampling import frames as sampling
from tinkit.errors import UserError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "wide.mp4", width=100, height=70, g="12")
    write_video(folder / "tall.webm", "libvpx-vp9", width=64, height=90, count=20, seed=1, deadline="realtime")
    write_video(folder / "short.mp4", count=3, seed=2)
    write_video(folder / "long.mp4", g="12", seed=3)
    (folder / "broken.mp4").write_bytes((folder / "wide.mp4").read_bytes()[:1500])
    return folder


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    rows = [
        ("wide", "wide.mp4", "a;c"),
        ("tall", "tall.webm", "b"),
        ("short", "short.mp4", "a"),
        ("broken", "broken.mp4", "b;c"),
        ("absent", "absent.mp4", "a"),
        ("long", "long.mp4", "c"),
    ]
    return write_manifest(root, rows)


CLIP = ClipConfig(num_segments=4, size=32)


def test_a_training_clip_is_frames_of_the_video_cut_and_resized(root: Path, manifest: Manifest) -> None:
    """Every frame must be one frame of its segment, one crop for all, by PIL's own crop and resize."""
    truth = decode_all(root / "wide.mp4")
    mirrored = 0
    for epoch in range(12):
        item = TrainClips(manifest, CLIP, seed=3)[epoch, 0]
        assert item["frames"].shape == (4, 3, 32, 32)
        assert item["frames"].dtype == torch.uint8
        rng = clip_rng(3, epoch, "wide")
        indices = sampling.segments(40, 4, rng)
        flip = rng.random() < 0.5
        width, height = [
            (w, h) for i, h in enumerate((70, 61, 52, 46)) for j, w in enumerate((70, 61, 52, 46)) if abs(i - j) <= 1
        ][rng.integers(10)]
        x, y = (100 - width) // 4, (70 - height) // 4
        places = [
            (0, 0),
            (4, 0),
            (0, 4),
            (4, 4),
            (2, 2),
            (0, 2),
            (4, 2),
            (2, 4),
            (2, 0),
            (1, 1),
            (3, 1),
            (1, 3),
            (3, 3),
        ]
        left, top = [(a * x, b * y) for a, b in places][rng.integers(13)]
        for index, found in zip(indices, item["frames"], strict=True):
            image = Image.fromarray(truth[index]).crop((left, top, left + width, top + height))
            image = image.resize((32, 32), Image.Resampling.BILINEAR)
            if flip:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(image))
        mirrored += flip
    assert 0 < mirrored < 12


def test_without_flip_the_same_frames_and_crop_are_not_mirrored(manifest: Manifest) -> None:
    epochs = range(12)
    plain = [TrainClips(manifest, CLIP.model_copy(update={"flip": False}), 3)[e, 0]["frames"] for e in epochs]
    flipped = [TrainClips(manifest, CLIP, 3)[e, 0]["frames"] for e in epochs]
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(plain, flipped, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


def test_the_centre_crop_of_training_is_the_largest_square(root: Path, manifest: Manifest) -> None:
    clip = ClipConfig(num_segments=4, size=32, crop="centre", flip=False)
    item = TrainClips(manifest, clip, 0)[0, 0]
    truth = decode_all(root / "wide.mp4")
    for index, found in zip(sampling.segments(40, 4, clip_rng(0, 0, "wide")), item["frames"], strict=True):
        image = Image.fromarray(truth[index]).crop((15, 0, 85, 70)).resize((32, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(image))


def test_frames_lie_in_memory_as_channels_last_images(manifest: Manifest) -> None:
    item = TrainClips(manifest, CLIP, 0)[0, 0]
    assert item["frames"].is_contiguous(memory_format=torch.channels_last)


def test_a_clip_depends_on_seed_epoch_and_id_alone(root: Path, manifest: Manifest) -> None:
    reference = TrainClips(manifest, CLIP, 7)[2, 0]["frames"]
    torch.manual_seed(1)
    np.random.seed(2)
    assert torch.equal(TrainClips(manifest, CLIP, 7)[2, 0]["frames"], reference)
    for seed, epoch in ((8, 2), (7, 3)):
        assert not torch.equal(TrainClips(manifest, CLIP, seed)[epoch, 0]["frames"], reference)
    moved = write_manifest(root, [("other", "tall.webm", "a"), ("wide", "wide.mp4", "b")], "val")
    assert torch.equal(TrainClips(moved, CLIP, 7)[2, 1]["frames"], reference)
    renamed = write_manifest(root, [("renamed", "wide.mp4", "b")], "val")
    assert not torch.equal(TrainClips(renamed, CLIP, 7)[2, 0]["frames"], reference)


def test_generators_of_different_clips_are_different() -> None:
    draws = {clip_rng(s, e, i).integers(2**62) for s in (0, 1, 11) for e in (0, 1, 11) for i in ("", "1", "a", "é")}
    assert len(draws) == 36
    assert clip_rng(0, 0, "a").integers(2**62) == 3464143929028630547  # on every machine


def test_short_clips_follow_the_rule(root: Path, manifest: Manifest) -> None:
    truth = decode_all(root / "short.mp4")
    clip = ClipConfig(num_segments=6, size=64, crop="centre", flip=False)
    for short, expected in (("spread", [0, 0, 1, 1, 2, 2]), ("first", [0] * 6)):
        item = TrainClips(manifest, clip.model_copy(update={"short": short}), 0)[0, 2]
        assert item["valid"]
        for index, found in zip(expected, item["frames"], strict=True):
            assert np.array_equal(found.permute(1, 2, 0).numpy(), truth[index][:, 16:80])


def slow_views(path: Path, temporal: int, spatial: int, scale: int, crop: int, segments: int) -> np.ndarray:
    """(V, T, crop, crop, 3) by the words of the specification, with Pillow."""
    truth = decode_all(path)
    tick = len(truth) / segments
    views = []
    for j in range(temporal):
        images = [Image.fromarray(truth[int(tick * (i + (j + 0.5) / temporal))]) for i in range(segments)]
        width, height = images[0].size
        size = (scale, int(scale * height / width)) if width < height else (int(scale * width / height), scale)
        images = [image.resize(size, Image.Resampling.BILINEAR) for image in images]
        x, y = (size[0] - crop) // 4, (size[1] - crop) // 4
        corners = [(0, 2 * y), (4 * x, 2 * y), (2 * x, 2 * y)]
        if height > width:
            corners = [(2 * x, 0), (2 * x, 4 * y), (2 * x, 2 * y)]
        if spatial == 1:
            corners = [(round((size[0] - crop) / 2), round((size[1] - crop) / 2))]
        views += [[np.asarray(im.crop((a, b, a + crop, b + crop))) for im in images] for a, b in corners]
    return np.array(views)


@pytest.mark.parametrize(
    ("views", "scale", "crop"), [("1x1", 40, 32), ("2x1", 64, 33), ("1x3", 32, 32), ("3x3", 90, 61)]
)
@pytest.mark.parametrize(("index", "name"), [(0, "wide.mp4"), (1, "tall.webm"), (2, "short.mp4")])
def test_views_for_testing_have_the_pixels_of_pillow(
    root: Path, manifest: Manifest, views: str, scale: int, crop: int, index: int, name: str
) -> None:
    config = ViewConfig(views=views, scale=scale, crop=crop)
    item = TestClips(manifest, CLIP, config)[index]
    temporal, spatial = config.parsed.temporal, config.parsed.spatial
    assert item["valid"]
    assert item["frames"].shape == (temporal * spatial, 4, 3, crop, crop)
    expected = slow_views(root / name, temporal, spatial, scale, crop, 4)
    assert np.array_equal(item["frames"].permute(0, 1, 3, 4, 2).numpy(), expected)


def test_a_broken_clip_keeps_its_place(manifest: Manifest) -> None:
    train, test = TrainClips(manifest, CLIP, 0), TestClips(manifest, CLIP, ViewConfig(scale=40, crop=32, views="2x1"))
    for index, reason in ((3, "truncated: 1,500 of"), (4, "no such file")):
        for item, shape in ((train[0, index], (4, 3, 32, 32)), (test[index], (2, 4, 3, 32, 32))):
            assert not item["valid"]
            assert item["reason"].startswith(reason)
            assert item["index"] == index
            assert item["frames"].shape == shape
            assert not item["frames"].any()
    whole = train[0, 0]
    assert (whole["valid"], whole["reason"]) == (True, "")


def test_a_clip_whose_frames_change_size_is_broken_and_leaves_no_pixels(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 6)
    with Image.open(folder / "00006.jpg") as image:
        image.resize((61, 40)).save(folder / "00006.jpg")
    manifest = write_manifest(tmp_path, [("x", "clip", "a")], media="frames")
    reason = "frames of different sizes"
    for item, said in (
        (TrainClips(manifest, ClipConfig(num_segments=6, size=32), 0)[0, 0], f"00006.jpg: {reason}"),
        (TestClips(manifest, ClipConfig(num_segments=6), ViewConfig(scale=40, crop=32))[0], reason),
    ):
        assert (item["valid"], item["reason"]) == (False, said)
        assert not item["frames"].any()


def test_labels_are_multi_hot_or_a_class(root: Path, manifest: Manifest) -> None:
    item = TrainClips(manifest, CLIP, 0)[0, 0]
    assert item["labels"].tolist() == [1.0, 0.0, 1.0]
    assert item["labels"].dtype == torch.float32
    single = write_manifest(root, [("wide", "wide.mp4", "c")], task="single-label")
    item = TrainClips(single, CLIP, 0)[0, 0]
    assert item["labels"].dtype == torch.int64
    assert item["labels"].shape == ()
    assert item["labels"].item() == 2
    assert item["labelled"]


@pytest.mark.parametrize(("task", "expected"), [("multi-label", [0.0, 0.0, 0.0]), ("single-label", 0)])
def test_unlabelled_clips_are_tested_but_not_trained_on(root: Path, task: str, expected: object) -> None:
    (root / "test.csv").write_text("id,path\nwide,wide.mp4\n")
    config = DataConfig.model_validate({"dataset": "table", "root": root, "task": task})
    manifest = open_manifest(config, "test")
    tested = TestClips(manifest, CLIP, ViewConfig(scale=40, crop=32))[0]
    assert (tested["valid"], tested["labelled"]) == (True, False)
    assert tested["labels"].tolist() == expected
    trained = TrainClips(manifest, CLIP, 0)[0, 0]
    assert (trained["valid"], trained["reason"]) == (False, "no label")


def test_image_folders_are_clips_too(tmp_path: Path) -> None:
    write_images(tmp_path / "clip", 9)
    manifest = write_manifest(tmp_path, [("x", "clip", "a")], media="frames")
    item = TestClips(manifest, CLIP, ViewConfig(scale=40, crop=40))[0]
    for index, found in zip((1, 3, 5, 7), item["frames"][0], strict=True):
        with Image.open(tmp_path / "clip" / f"{index + 1:05d}.jpg") as image:
            assert np.array_equal(found.permute(1, 2, 0).numpy(), np.asarray(image)[:, 10:50])


def test_a_template_is_checked_before_any_clip_is_read(manifest: Manifest) -> None:
    frames = replace(manifest, media="frames", frame_template="image.jpg")
    for build in (lambda: TrainClips(frames, CLIP, 0), lambda: TestClips(frames, CLIP, ViewConfig())):
        with pytest.raises(UserError, match="frame_template"):
            build()


def test_data_sets_travel_to_other_processes(manifest: Manifest) -> None:
    train = TrainClips(manifest, CLIP, 7)
    again = pickle.loads(pickle.dumps(train))
    assert torch.equal(again[1, 0]["frames"], train[1, 0]["frames"])


def test_reading_clips_leaves_no_file_open(manifest: Manifest) -> None:
    train = TrainClips(manifest, CLIP, 0)
    before = len(list(Path("/dev/fd").iterdir()))
    for index in range(len(manifest)):
        train[0, index]
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_training_leaves_out_clips_that_are_too_short_and_testing_keeps_them(root: Path, manifest: Manifest) -> None:
    strict = replace(manifest, min_frames=4)
    item = TrainClips(strict, CLIP, seed=0)[0, 2]
    assert not item["valid"]
    assert "3 frames" in item["reason"]
    assert not item["frames"].any()
    assert TrainClips(strict, CLIP, seed=0)[0, 5]["valid"]
    assert TestClips(strict, CLIP, ViewConfig(scale=40, crop=32))[2]["valid"]


def test_views_of_a_loose_file_are_those_of_the_manifest(root: Path, manifest: Manifest) -> None:
    config = ViewConfig(views="2x3", scale=40, crop=32)
    for row, name in ((0, "wide.mp4"), (1, "tall.webm")):
        loose = load_views(root / name, "video", CLIP, config, "{:05d}.jpg")
        assert torch.equal(loose, TestClips(manifest, CLIP, config)[row]["frames"])
    with pytest.raises(BrokenClip):
        load_views(root / "broken.mp4", "video", CLIP, config, "{:05d}.jpg")
    with pytest.raises(BrokenClip):
        load_views(root, "frames", CLIP, config, "{:05d}.jpg")
