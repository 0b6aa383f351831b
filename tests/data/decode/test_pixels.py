"""Which levels and which way up frames are, against numpy's own reckoning; how a run keeps to its way."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image

from benchmarks.faults.pixel_cases import PIXELS, TURNS, read_image_of, saved, turned_film
from tests.helpers.places import ROOT
from tests.helpers.tiny_runs import tiny, train
from tests.helpers.video_files import moving_pixels, write_manifest
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.flow.folders import FlowFolder
from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.evaluation.predict import predict
from tinkit.engine.evaluation.test import TestRequest, run_test
from tinkit.engine.exchange.imported import named_run
from tinkit.engine.runs.run import Run, create_run
from tinkit.engine.runtime.session import Session
from tinkit.engine.training.start import start_training

SMALL, VIEWS = ClipConfig(num_segments=2, size=16, crop="centre", flip=False), ViewConfig(scale=16, crop=16)


@pytest.mark.parametrize("name", PIXELS)
def test_levels_and_turns_are_those_of_an_independent_reckoning(name: str, tmp_path: Path) -> None:
    assert PIXELS[name](tmp_path / "case", 3) == ""


def test_levels_of_more_than_16_bits_and_unequal_ones_are_refused_or_scaled(tmp_path: Path) -> None:
    levels = np.full((4, 4), 70_000, np.int32)
    with pytest.raises(BrokenClip, match="levels from 70000 to 70000"):
        read_image_of(tmp_path / "a", saved(Image.fromarray(levels), "TIFF"), "tif")
    tenth = b"P5 3 1 1023\n" + np.array([0, 512, 1023], ">u2").tobytes()
    assert read_image_of(tmp_path / "b", tenth, "ppm")[0, :, 0].tolist() == [0, 128, 255]


def test_grey_levels_of_flow_are_of_16_bits_too(tmp_path: Path) -> None:
    for axis, level in (("x", 128 * 257), ("y", 65535)):
        image = Image.fromarray(np.full((4, 4), level, np.uint16))
        image.save(tmp_path / f"{axis}_00001.png")
    with FlowFolder(tmp_path, ("x_{:05d}.png", "y_{:05d}.png")) as clip:
        assert clip.read([0])[0][2, 2].tolist() == [128, 255]


def test_the_orientation_of_a_photograph_is_not_applied(tmp_path: Path) -> None:
    image = Image.fromarray(moving_pixels(1, 32, 16)[0])
    exif = Image.Exif()
    exif[274] = 6
    plain, noted = saved(image, "JPEG"), saved(image, "JPEG", exif=exif)
    assert np.array_equal(read_image_of(tmp_path / "a", plain, "jpg"), read_image_of(tmp_path / "b", noted, "jpg"))
    pages = (ROOT / "docs/recipes.md").read_text()
    assert re.search(r"EXIF data is\s+\*\*not\*\* applied", pages)


def test_an_angle_that_is_no_right_one_is_left_and_said(tmp_path: Path) -> None:
    path = turned_film(tmp_path / "a.mp4", (1, 1, -1, 1), 0)
    with open_clip(path, "video") as clip:
        assert clip.read([0])[0].shape == (64, 96, 3)
        assert clip.notes == {"to be turned, but read as stored"}


def test_turned_clips_are_counted_and_the_key_restores_the_old_way(tmp_path: Path) -> None:
    turned_film(tmp_path / "a.mp4", TURNS["90"][0], 1)
    manifest = write_manifest(tmp_path, [("a", "a.mp4", "a")])
    old = DecodeSettings(turn=False)
    for now, before in (
        (TrainClips(manifest, SMALL, 0)[0, 0], TrainClips(manifest, SMALL, 0, None, old)[0, 0]),
        (TestClips(manifest, SMALL, VIEWS)[0], TestClips(manifest, SMALL, VIEWS, None, old)[0]),
    ):
        assert now["notes"] == ["turned"]
        assert before["notes"] == ["to be turned, but read as stored"]
        stored = before["frames"].movedim(-3, -1).numpy()
        turned = now["frames"].movedim(-3, -1).numpy()
        assert np.abs(turned - np.rot90(stored, -1, (-3, -2)).astype(int)).max() <= 1  # resized in another order
        assert not np.array_equal(turned, stored)


def run_of(root: Path, runs: Path, **data: bool) -> Run:
    return create_run("r", tiny(root, *(f"data.{key}={str(value).lower()}" for key, value in data.items())), runs)


def test_a_run_keeps_to_the_way_it_was_trained(challenge: Path, tmp_path: Path) -> None:
    assert run_of(challenge, tmp_path / "new").load_recipe().data.turn
    assert not run_of(challenge, tmp_path / "old way", turn=False).load_recipe().data.turn
    run = run_of(challenge, tmp_path / "earlier")
    text = run.recipe_path.read_text()
    run.recipe_path.write_text(text.replace("turn = true\n", ""))
    assert text != run.recipe_path.read_text()
    assert not run.load_recipe().data.turn  # a run of an earlier release
    assert not run.load_recipe(data_root=challenge).data.turn
    assert not named_run(str(run.folder), None, tmp_path)[2].data.turn
    assert run.load_recipe(["data.turn=true"]).data.turn


def test_tests_and_predictions_read_as_the_run_does_and_say_what_they_found(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = turned_film(tmp_path / "turned.mp4", TURNS["90"][0], 1)
    run = train(challenge, tmp_path / "runs", "r", steps=1)
    there = predict(run, "last", [film], None, 1)[0]
    assert there.notes == ("turned",)
    recipe = run.load_recipe().model_dump(mode="json", exclude_none=True)
    recipe["data"].pop("turn")
    run.recipe_path.write_text(tomli_w.dumps(recipe))
    assert predict(run, "last", [film], None, 1)[0].notes == ("to be turned, but read as stored",)
    seen: list[DecodeSettings] = []
    original = TestClips.__init__

    def noting(self: TestClips, *args: object) -> None:
        seen.append(args[-1])  # type: ignore[arg-type]
        original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(TestClips, "__init__", noting)
    config = run.load_recipe()
    data = config.data.model_copy(update={"turn": True, "root": challenge})
    result = run_test(run, "val", config.test, "last", Session(), TestRequest(data=data, limit=2))
    assert [reading.turn for reading in seen] == [False]  # as it was trained, whatever the other data say
    assert result.notes == {}
    assert "turned" not in capsys.readouterr().err


def test_training_says_once_an_epoch_what_it_found(
    challenge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(challenge, tmp_path / "data", ignore=shutil.ignore_patterns(".tinkit"))
    recipe = tiny(root, "optim.epochs=1", "schedule.warmup_epochs=0", "optim.batch=12")
    train_set, val_set = (open_manifest(recipe.data, split) for split in ("train", "val"))
    for manifest in (train_set, val_set):
        turned_film(root / manifest.row(0).path, TURNS["90"][0], 1)
    start_training(create_run("r", recipe, tmp_path), recipe, Session())
    said = capsys.readouterr().err
    assert said.count("of the epoch's clips: 1 turned") == 1
    assert said.count("validation: 1 turned") == 1
