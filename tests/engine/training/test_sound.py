"""A model that listens, from synthetic sound to a fusion that hidden answers judge; resumed, predicted, exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.helpers.sound_files import write_sound
from tests.helpers.tiny_runs import QUIET, resume, same_weights, tiny
from tinkit.cli.app import app
from tinkit.data.synth.actions import MOTIONS
from tinkit.data.synth.build import synthesise
from tinkit.data.synth.clips import SynthSpec
from tinkit.engine.evaluation.predict import predict
from tinkit.engine.exchange.export import read_metadata
from tinkit.engine.runs.run import create_run
from tinkit.engine.runs.trials import Trial
from tinkit.engine.training.start import start_training
from tinkit.scores import read_scores

SPEC = SynthSpec("sthv2", clips=200, val=60, test=100, size=32, frames=8, sound=True)
COMMON = ["data.dataset=sthv2", "train.workers=0", "optim.batch=16", "optim.lr=0.1", "train.val_every=9"]
LISTENS = [*COMMON, "optim.epochs=4", "clip.num_segments=1"]
LOOKS = [*COMMON, "optim.epochs=9", "clip.size=32", "clip.num_segments=2", "test.scale=32", "test.crop=32"]


def tinkit(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def changes(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def answers(root: Path) -> dict[str, int]:
    with root.with_name(f"{root.name}-answers").joinpath("test.csv").open() as file:
        return {row["id"]: int(row["labels"]) for row in csv.DictReader(file)}


def right(path: Path, truth: dict[str, int]) -> tuple[float, float]:
    """Of the clips whose action has a direction: the share whose class, and whose direction, is the likeliest."""
    table = read_scores(path)
    by_class = [next(a for a in MOTIONS if a.plain == name) for name in table.info.classes]
    directed = np.array([MOTIONS.actions.index(action) in MOTIONS.order_classes for action in by_class])
    backwards = np.array([action.backwards for action in by_class])
    labels = np.array([truth[clip] for clip in table.ids])
    rows = directed[labels]
    scores = np.where(directed, np.asarray(table.scores)[rows], -np.inf)
    found, wanted = scores.argmax(axis=1), labels[rows]
    return float((found == wanted).mean()), float((backwards[found] == backwards[wanted]).mean())


@pytest.mark.slow
def test_a_model_that_listens_learns_what_frames_do_not_tell_and_a_fusion_gains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    synthesise(SPEC, root, workers=0)
    for recipe, values in (("demo_audio", LISTENS), ("demo_tsn", LOOKS)):
        tinkit("train", recipe, "--data", root, "-q", *changes(values))
        for split in ("val", "test"):
            tinkit("test", recipe, "--split", split, "-q")
    tinkit("ensemble", "demo_audio", "demo_tsn", "--name", "both")
    truth = answers(root)
    listened, looked = (
        right(tmp_path / f"runs/{run}/scores/test-1x1-best.arrow", truth) for run in ("demo_audio", "demo_tsn")
    )
    fused = right(tmp_path / "fusions/both/test.arrow", truth)
    assert listened[1] > 0.95  # sound tells the direction, which is chance to one that sees unordered frames
    assert looked[1] < 0.75
    assert looked[0] > 0.3
    assert listened[0] < 0.4  # of ten classes it cannot tell five from one another
    assert fused[0] > max(listened[0], looked[0]) + 0.15
    assert fused[1] > 0.95


@pytest.mark.thorough
def test_a_run_that_listens_resumes_predicts_and_is_exported(tmp_path: Path) -> None:
    root = tmp_path / "data"
    synthesise(SynthSpec("mmit", clips=8, val=2, test=2, seed=1, size=32, frames=8, sound=True), root, workers=0)
    (mute,) = sorted(root.rglob("*.mp4"))[:1]
    mute.unlink()
    write_sound(mute, None, frames=8)
    recipe = tiny(root, "optim.batch=4", "clip.audio_mels=16", name="demo_audio")
    runs = [create_run(name, recipe, tmp_path) for name in ("whole", "halved")]
    start_training(runs[0], recipe, QUIET)
    start_training(runs[1], recipe, QUIET, trial=Trial(max_steps=1))
    resume(runs[1])
    same_weights(runs[0].checkpoint("last"), runs[1].checkpoint("last"))

    heard, silent, images = predict(runs[0], "last", [*sorted(root.rglob("*.mp4"))[1:2], mute, root], None, 3)
    assert len(heard.labels) == 3
    assert (silent.labels, silent.reason) == ((), "no sound")
    assert images.reason == "no sound in a folder of images"

    (told,) = json.loads(tinkit("export", runs[0].folder, "--format", "torch", "--weights", "last", "--json"))
    metadata = read_metadata(Path(told["file"]))
    sound = recipe.clip.spectrogram
    assert metadata["input"]["shape"] == [None, recipe.clip.num_segments, 1, 16, sound.columns]
    assert metadata["spectrogram"]["rate"] == sound.rate
