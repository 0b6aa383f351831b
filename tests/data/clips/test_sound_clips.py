"""Clips of sound as data sets give them: windows drawn by the rules, what is missing, and what cannot be asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.sound_files import FPS, steps, write_sound
from tests.helpers.video_files import write_manifest
from tinkit.data.clips.loading import LoaderWorkers, train_loader
from tinkit.data.clips.opening import clip_rng
from tinkit.data.clips.testing import TestClips, load_noted_views
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import NoSound
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.sampling import frames as sampling
from tinkit.data.sound.mel import spectrograms
from tinkit.errors import UsageError, UserError
from tinkit.recipe import load_recipe

RATE = 16_000
CLIP = ClipConfig.model_validate(
    {"modality": "audio", "num_segments": 3, "audio_mels": 40, "audio_seconds": 0.4, "audio_rate": RATE}
)
COLUMNS = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_sound(folder / "steps.mkv", steps(4, RATE), RATE, frames=4 * FPS)
    write_sound(folder / "mute.mkv", None, frames=20)
    write_sound(folder / "brief.mkv", steps(1, RATE)[:, :3000], RATE, frames=20)
    (folder / "broken.mkv").write_bytes((folder / "steps.mkv").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    return write_manifest(root, [(name, f"{name}.mkv", "a") for name in ("steps", "mute", "brief", "broken")])


def test_a_training_clip_is_windows_of_the_sound_drawn_as_stacks_are(root: Path, manifest: Manifest) -> None:
    wave = np.round(steps(4, RATE)[0] * 32767) / 32768
    seen = set()
    for epoch in range(3):
        item = TrainClips(manifest, CLIP, seed=5)[epoch, 0]
        assert item["frames"].shape == (3, 1, 40, COLUMNS)
        assert item["frames"].dtype == torch.uint8
        columns = 1 + (4 * RATE - 400) // 160
        firsts = sampling.segments(columns - COLUMNS + 1, 3, clip_rng(5, epoch, "steps"))
        parts = np.stack([wave[160 * first :][: CLIP.spectrogram.samples] for first in firsts]).astype(np.float32)
        wanted = spectrograms(parts, CLIP.spectrogram)
        difference = np.abs(item["frames"][:, 0].numpy().astype(int) - wanted)
        assert difference[wanted > 100].max() <= 2  # what 16 bits lose
        seen.add(tuple(firsts))
    assert len(seen) == 3


def test_what_is_missing_is_not_broken_and_never_silent(manifest: Manifest) -> None:
    train, test = TrainClips(manifest, CLIP, seed=0), TestClips(manifest, CLIP, ViewConfig())
    for item in (train[0, 1], test[1]):
        assert (item["valid"], item["broken"], item["reason"]) == (False, False, "no sound")
    for item in (train[0, 3], test[3]):
        assert (item["valid"], item["broken"]) == (False, True)
    for item in (train[0, 2], test[2]):
        assert item["valid"]
        assert item["notes"] == ["sound shorter than a window, repeated"]
        columns = item["frames"].float().mean(-2).flatten(0, -2)  # loudness of every column
        assert (columns > 5).all()


def test_views_are_the_rules_of_stacks(root: Path, manifest: Manifest) -> None:
    views = ViewConfig.model_validate({"views": "2x1", "num_segments": 2})
    item = TestClips(manifest, CLIP, views)[0]
    assert item["frames"].shape == (2, 2, 1, 40, COLUMNS)
    loudest = 39 - item["frames"][:, :, 0].float().mean(-1).argmax(-1)  # the band of each window's tone
    firsts = sampling.even(1 + (4 * RATE - 400) // 160 - COLUMNS + 1, 2, 2)
    seconds = np.floor((firsts + COLUMNS / 2) * 0.01)
    points = 700 * (10 ** (np.arange(1, 41) * np.log10(1 + 8000 / 700) / 41) - 1)
    wanted = [[np.abs(points - (400 + 100 * second)).argmin() for second in row] for row in seconds]
    assert np.abs(loudest.numpy() - np.array(wanted)).max() <= 1
    loaded, _ = load_noted_views(root / "steps.mkv", "video", CLIP, views, "")
    assert torch.equal(loaded, item["frames"])
    with pytest.raises(NoSound):
        load_noted_views(root, "frames", CLIP, views, "")


def test_a_row_that_is_a_part_of_a_video_has_its_sound(root: Path) -> None:
    (root / "parts.txt").write_text("steps.mkv 0 25 0\nsteps.mkv 75 25 0\n")
    (root / "parts-classes.txt").write_text("a\n")
    values = ["data.train=parts.txt", "data.categories=parts-classes.txt", "data.media_folder=", "clip.modality=audio"]
    values += ["data.columns=path start frames labels", "clip.flip=false"]
    recipe = load_recipe("k400_tsn_r50", [*values, "data.dataset=list", "data.media=video"], root).recipe
    manifest = open_manifest(recipe.data, "train")
    clips = TrainClips(manifest, CLIP, seed=0)
    bands = [39 - int(clips[0, row]["frames"].float().mean((0, 1, 3)).argmax()) for row in (0, 1)]
    assert bands[0] < bands[1]  # 400 Hz, then 700


def test_workers_and_cuttings_give_the_same_batches(root: Path) -> None:
    manifest = write_manifest(root, [(f"clip {n}", "steps.mkv", "a") for n in range(4)])
    several = CLIP.model_copy(update={"repeats": 2})
    one, two = (
        list(train_loader(TrainClips(manifest, several, seed=1), batch=4, epoch=0, workers=workers))
        for workers in (LoaderWorkers(0), LoaderWorkers(1))
    )
    assert len(one) == 2
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a["frames"], b["frames"])
        assert a["index"].tolist() == b["index"].tolist()
        assert not torch.equal(a["frames"][0], a["frames"][1])  # two cuttings of a clip
    plain = TrainClips(manifest, CLIP, seed=1)
    assert torch.equal(one[0]["frames"][0], plain[0, int(one[0]["index"][0])]["frames"])  # the first is the usual one


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["clip.flip=true"], "flip = true is about frames"),
        (["clip.sampling=dense"], "sampling = 'dense' is about frames"),
        (["clip.rand_augment=rand-m9"], "sound has none"),
        (["test.views=1x3"], "3 crops"),
        (["test.flip=true"], "mirror images"),
        (["data.media=frames"], "have no sound"),
        (["clip.repeats=3"], "must be a multiple of clip.repeats 3"),
    ],
)
def test_what_sound_does_not_have_is_refused(values: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_recipe("mmit_audio_r50", values)


def test_views_of_a_command_are_refused_too(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match=r"3 crops: with clip.modality = 'audio' a view is windows of sound"):
        TestClips(manifest, CLIP, ViewConfig.model_validate({"views": "1x3"}))
