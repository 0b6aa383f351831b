"""Augmented training clips: alike for all frames, and a function of (seed, epoch, id) on any number of workers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.video_files import moving_pixels, write_images, write_manifest
from tinkit.data.clips.loading import LoaderWorkers, train_loader
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.manifest.manifest import Manifest

CLIP = ClipConfig(
    num_segments=3,
    size=24,
    crop="resized",
    area=(0.3, 1.0),
    rand_augment="rand-m9-n2-mstd0.5-p1",
    colour_jitter=(0.4, 0.4, 0.4, 0.1),
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("augmented")
    for number in range(8):
        write_images(root / str(number), 12, seed=number)
    still = root / "still"
    still.mkdir()
    for number in range(12):
        Image.fromarray(moving_pixels(1, 60, 40)[0]).save(still / f"{number:05d}.jpg")
    rows = [(str(number), str(number), "a") for number in range(8)]
    return write_manifest(root, [*rows, ("still", "still", "a")], media="frames")


def test_all_frames_of_a_clip_are_changed_alike(manifest: Manifest) -> None:
    seen = set()
    for epoch in range(8):
        frames = TrainClips(manifest, CLIP, 1)[epoch, 8]["frames"]
        assert torch.equal(frames, frames[:1].expand_as(frames))
        seen.add(frames[0].numpy().tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_no_bit(manifest: Manifest, workers: int) -> None:
    clips = TrainClips(manifest, CLIP, 1)
    alone = list(train_loader(clips, batch=4, epoch=1))
    found = list(train_loader(clips, batch=4, epoch=1, workers=LoaderWorkers(workers)))
    assert len(alone) == len(found) == 2
    for one, other in zip(alone, found, strict=True):
        assert one["valid"].all()
        assert torch.equal(one["frames"], other["frames"])
    again = TrainClips(manifest, CLIP, 1)  # another order, another time
    for batch in alone:
        for slot, index in reversed(list(enumerate(batch["index"].tolist()))):
            assert torch.equal(again[1, index]["frames"], batch["frames"][slot])


def test_frames_and_crops_stay_those_of_the_plain_clip(manifest: Manifest) -> None:
    """Augmentation is drawn last: what it leaves alone is what the clip has without it."""
    plain = CLIP.model_copy(update={"rand_augment": None, "colour_jitter": None})
    none = plain.model_copy(update={"colour_jitter": (0.0, 0.0, 0.0, 0.0)})
    for epoch in range(3):
        one, other, changed = (TrainClips(manifest, clip, 1)[epoch, 0]["frames"] for clip in (plain, none, CLIP))
        assert torch.equal(one, other)
        assert not np.array_equal(one, changed)
