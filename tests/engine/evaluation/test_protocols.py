"""Test protocols and mirrored labels, end to end: what a data set cuts out of real files, by the rules' own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.video_files import decode_all, write_manifest, write_video
from tinkit.data.clips.loading import LoaderWorkers
from tinkit.data.clips.loading import test_loader as make_test_loader
from tinkit.data.clips.opening import clip_rng, view_rng
from tinkit.data.clips.testing import TestClips, load_views
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.sampling import frames as sampling
from tinkit.errors import UserError

CLIP = ClipConfig(num_segments=4, size=32)
NAMES = ("wide.mp4", "tall.mp4", "short.mp4")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocols")
    write_video(folder / "wide.mp4", width=100, height=70, g="12")
    write_video(folder / "tall.mp4", width=64, height=90, count=21, seed=1)
    write_video(folder / "short.mp4", count=3, seed=2)
    (folder / "broken.mp4").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    labels = ("a;c", "b", "a")
    rows = [(name.removesuffix(".mp4"), name, labels[number]) for number, name in enumerate(NAMES)]
    return write_manifest(root, [*rows, ("broken", "broken.mp4", "a")])


def slow_frames(rule: str, n: int, t: int, views: int, stride: int) -> list[list[int]]:
    """The temporal samples by the words of the specification; ``random`` has its own test."""
    tick = n / t
    centre = [int(tick / 2 + tick * i) for i in range(t)]
    if rule == "twice":
        return [centre, [int(tick * i) for i in range(t)]][:views]
    if rule == "dense":
        room = max(0, n - t * stride)
        starts = [int(room * k / (views - 1)) for k in range(views)] if views > 1 else [(room + 1) // 2]
        return [[(start + i * stride) % n for i in range(t)] for start in starts]
    return [[int(tick * (i + (j + 0.5) / views)) for i in range(t)] for j in range(views)]


def slow_corners(width: int, height: int, size: int, spatial: int) -> list[tuple[int, int]]:
    if spatial == 1:
        return [(round((width - size) / 2), round((height - size) / 2))]
    x, y = (width - size) // 4, (height - size) // 4
    if spatial == 3 and height > width:
        return [(2 * x, 0), (2 * x, 4 * y), (2 * x, 2 * y)]
    if spatial == 3:
        return [(0, 2 * y), (4 * x, 2 * y), (2 * x, 2 * y)]
    return [(0, 0), (4 * x, 0), (0, 4 * y), (4 * x, 4 * y), (2 * x, 2 * y)]


def slow_views(path: Path, samples: list[list[int]], config: ViewConfig) -> np.ndarray:
    """(V, T, crop, crop, 3) with Pillow, a crop at a time."""
    truth, crop, scale = decode_all(path), config.crop, config.scale
    views, spatial = [], config.parsed.spatial
    for sample in samples:
        images = [Image.fromarray(truth[index]) for index in sample]
        width, height = images[0].size
        size = (scale, int(scale * height / width)) if width < height else (int(scale * width / height), scale)
        images = [image.resize(size, Image.Resampling.BILINEAR) for image in images]
        plain = [[im.crop((a, b, a + crop, b + crop)) for im in images] for a, b in slow_corners(*size, crop, spatial)]
        views += plain + ([turned(view) for view in plain] if spatial == 10 else [])
    if config.flip:
        views += [turned(view) for view in views]
    return np.array([[np.asarray(image) for image in view] for view in views])


def turned(view: list[Image.Image]) -> list[Image.Image]:
    return [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in view]


@pytest.mark.parametrize(
    "keys",
    [
        {"views": "1x5"},
        {"views": "2x5", "scale": 64, "crop": 33},
        {"views": "2x10"},
        {"views": "1x10", "scale": 61, "crop": 30},
        {"views": "1x1", "flip": True},
        {"views": "2x3", "flip": True, "scale": 32},
        {"views": "2x5", "flip": True},
        {"views": "2x1", "sampling": "twice"},
        {"views": "1x3", "sampling": "twice"},
        {"views": "1x1", "sampling": "centre", "num_segments": 7},
        {"views": "1x1", "sampling": "dense", "stride": 3},
        {"views": "5x3", "sampling": "dense", "stride": 2, "num_segments": 6},
        {"views": "10x1", "sampling": "dense", "stride": 16},
    ],
    ids=str,
)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_every_protocol_has_the_pixels_of_pillow(root: Path, manifest: Manifest, keys: dict, row: int) -> None:
    config = ViewConfig.model_validate({"scale": 40, "crop": 32} | keys)
    clips = TestClips(manifest, CLIP, config)
    item = clips[row]
    t = config.num_segments or 4
    samples = slow_frames(config.sampling, (40, 21, 3)[row], t, config.parsed.temporal, config.stride)
    expected = slow_views(root / NAMES[row], samples, config)
    assert item["valid"]
    assert item["frames"].shape == (config.count, t, 3, config.crop, config.crop)
    assert np.array_equal(item["frames"].permute(0, 1, 3, 4, 2).numpy(), expected)
    assert item["frames"].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("keys", [{"views": "2x10"}, {"views": "2x3", "flip": True}, {"views": "1x1", "flip": True}])
def test_mirrored_views_are_those_that_the_configuration_names(manifest: Manifest, keys: dict) -> None:
    config = ViewConfig.model_validate({"scale": 40, "crop": 32} | keys)
    views = TestClips(manifest, CLIP, config)[0]["frames"]
    distance = 5 if config.parsed.spatial == 10 else len(views) // 2
    for view, mirrored in enumerate(config.mirrored):
        if mirrored:
            assert not config.mirrored[view - distance]
            assert torch.equal(views[view], views[view - distance].flip(-1))
            assert not torch.equal(views[view], views[view - distance])


def test_random_views_are_drawn_from_the_id_alone(root: Path, manifest: Manifest) -> None:
    config = ViewConfig(views="3x1", sampling="random", scale=40, crop=32)
    first = TestClips(manifest, CLIP, config)[0]["frames"]
    rng = view_rng("wide")
    samples = [[5, 15, 25, 35], *(sampling.segments(40, 4, rng).tolist() for _ in range(2))]
    assert np.array_equal(first.permute(0, 1, 3, 4, 2).numpy(), slow_views(root / "wide.mp4", samples, config))
    np.random.seed(5)
    torch.manual_seed(5)
    assert torch.equal(TestClips(manifest, CLIP, config)[0]["frames"], first)
    moved = write_manifest(root, [("x", "tall.mp4", "a"), ("y", "wide.mp4", "a"), ("wide", "wide.mp4", "b")], "val")
    assert torch.equal(TestClips(moved, CLIP, config)[2]["frames"], first)
    renamed = TestClips(moved, CLIP, config)[1]["frames"]
    assert torch.equal(renamed[0], first[0])  # the centre
    assert not torch.equal(renamed[1:], first[1:])
    assert view_rng("a").integers(2**62) == 2153533033015274932  # on every machine
    assert view_rng("a").integers(2**62) != clip_rng(0, 0, "a").integers(2**62)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_share_of_a_test_sees_the_views_of_the_whole(manifest: Manifest, workers: int) -> None:
    config = ViewConfig(views="2x1", sampling="random", flip=True, num_segments=5, scale=40, crop=32)
    clips = TestClips(manifest, CLIP, config)
    batches = list(make_test_loader(clips, batch=2, indices=[2, 0, 1], workers=LoaderWorkers(workers)))
    assert [batch["index"].tolist() for batch in batches] == [[2, 0], [1]]
    assert torch.equal(batches[0]["frames"][1], clips[0]["frames"])
    assert torch.equal(batches[1]["frames"][0], clips[1]["frames"])


def test_a_broken_clip_keeps_its_place_in_every_protocol(manifest: Manifest) -> None:
    config = ViewConfig(views="2x5", sampling="dense", flip=True, num_segments=3, scale=40, crop=32)
    item = TestClips(manifest, CLIP, config)[3]
    assert (item["valid"], item["broken"]) == (False, True)
    assert item["frames"].shape == (20, 3, 3, 32, 32)
    assert not item["frames"].any()


def test_a_loose_file_is_cut_by_the_same_protocol(root: Path, manifest: Manifest) -> None:
    config = ViewConfig(views="2x10", sampling="dense", stride=3, num_segments=6, scale=40, crop=32)
    loose = load_views(root / "wide.mp4", "video", CLIP, config, "{:05d}.jpg")
    assert torch.equal(loose, TestClips(manifest, CLIP, config)[0]["frames"])
    drawn = ViewConfig(views="2x1", sampling="random", scale=40, crop=32)
    by_name = write_manifest(root, [("wide.mp4", "wide.mp4", "a")], "val")
    assert torch.equal(
        load_views(root / "wide.mp4", "video", CLIP, drawn, "{:05d}.jpg"), TestClips(by_name, CLIP, drawn)[0]["frames"]
    )


@pytest.mark.parametrize("row", [0, 2])
def test_dense_training_takes_frames_a_stride_apart(root: Path, manifest: Manifest, row: int) -> None:
    clip = ClipConfig(num_segments=5, size=64, crop="centre", flip=False, sampling="dense", stride=4)
    truth = decode_all(root / NAMES[row])
    starts = set()
    for epoch in range(8):
        item = TrainClips(manifest, clip, 1)[epoch, row]
        side, left = min(truth[0].shape[:2]), (truth[0].shape[1] - min(truth[0].shape[:2])) // 2
        cut = [
            np.asarray(Image.fromarray(image[:, left : left + side]).resize((64, 64), Image.Resampling.BILINEAR))
            for image in truth
        ]
        frames = item["frames"].permute(0, 2, 3, 1).numpy()
        start = next(index for index, image in enumerate(cut) if np.array_equal(image, frames[0]))
        for i, found in enumerate(frames):
            assert np.array_equal(found, cut[(start + 4 * i) % len(cut)])
        starts.add(start)
    assert starts == {0} if row == 2 else len(starts) > 3
    assert max(starts) <= max(0, len(truth) - 5 * 4)


def test_a_mirrored_clip_has_the_labels_of_its_mirror_image(root: Path, manifest: Manifest) -> None:
    """Whether a clip is mirrored is seen in its pixels: they are those of the same draw without flips, turned round."""
    plain, swapped = CLIP.model_copy(update={"flip": False}), CLIP.model_copy(update={"flip_labels": ((0, 1),)})
    single = write_manifest(root, [("wide", "wide.mp4", "b")], task="single-label")
    seen = set()
    for epoch in range(12):
        upright = TrainClips(manifest, plain, 3)[epoch, 0]["frames"]
        item = TrainClips(manifest, swapped, 3)[epoch, 0]
        mirrored = torch.equal(item["frames"], upright.flip(-1))
        assert mirrored != torch.equal(item["frames"], upright)
        assert item["labels"].tolist() == ([0.0, 1.0, 1.0] if mirrored else [1.0, 0.0, 1.0])
        assert item["labels"].dtype == torch.float32
        one = TrainClips(single, swapped, 3)[epoch, 0]["labels"]
        assert (one.item(), one.dtype, one.shape) == (0 if mirrored else 1, torch.int64, ())
        assert TrainClips(manifest, CLIP, 3)[epoch, 0]["labels"].tolist() == [1.0, 0.0, 1.0]
        seen.add(mirrored)
    assert seen == {True, False}


def test_labels_stay_where_nothing_is_mirrored(manifest: Manifest) -> None:
    never = CLIP.model_copy(update={"flip": False, "flip_labels": ((0, 1),)})
    for epoch in range(6):
        assert TrainClips(manifest, never, 3)[epoch, 0]["labels"].tolist() == [1.0, 0.0, 1.0]
        assert TrainClips(manifest, never, 3)[epoch, 3]["labels"].tolist() == [1.0, 0.0, 0.0]  # broken
    tested = TestClips(manifest, never, ViewConfig(flip=True, scale=40, crop=32))[0]
    assert tested["labels"].tolist() == [1.0, 0.0, 1.0]  # the clip's own: scores are put back, not labels


def test_flip_labels_of_classes_that_are_not_there_are_found_before_any_clip_is_read(manifest: Manifest) -> None:
    with pytest.raises(UserError, match="names class 3"):
        TrainClips(manifest, CLIP.model_copy(update={"flip_labels": ((0, 3),)}), 0)
