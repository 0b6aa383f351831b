"""A trained model on a real stream: what it says at each tick, and what is written."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.helpers.tiny_runs import train
from tests.helpers.video_files import decode_all, write_video
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import crops
from tinkit.data.stream.source import StreamSource
from tinkit.engine.runs.load import load_model
from tinkit.engine.runs.run import Run
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.watching.rate import rate_of_training
from tinkit.engine.watching.watch import Outputs, Watch
from tinkit.engine.watching.watcher import Reading, Watcher
from tinkit.errors import UsageError, UserError

STARTS = ["model.zero_init_last=false", "model.classifier_std=1"]


@pytest.fixture(scope="module")
def runs(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run for each temporal module that looks back, and one of a TIN; two steps each."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: train(challenge, folder, name, f"model.temporal={name}", *STARTS, recipe="demo_tsn", steps=2)
        for name in ("tsm_online", "tin_online", "tin")
    }


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 30 frames a second."""
    return write_video(tmp_path_factory.mktemp("stream") / "clip.mp4", count=60)


def watch(run: Run, video: Path, fps: float | None, outputs: Outputs = Outputs(), **settings: int) -> list[Reading]:
    readings: list[Reading] = []
    watcher = Watcher(run, "last", settings.get("top", 2), settings.get("window"))
    with watcher, StreamSource(str(video), 20, DecodeSettings()) as source:
        Watch(watcher, source, fps, readings.append, lambda text: None, lambda: False).run(outputs)
    return readings


@pytest.mark.parametrize("name", ["tsm_online", "tin_online"])
def test_logits_are_those_of_the_clip(name: str, runs: dict[str, Run], video: Path) -> None:
    """Of a clip of the frames that lie at the ticks, read by PyAV's own loop and given to the network at once."""
    readings = watch(runs[name], video, 7.0, window=3)
    numbers = [int(tick * 30 / 7) for tick in range(len(readings))]
    assert len(readings) == 14
    recipe = runs[name].load_recipe()
    model, _, _ = load_model(runs[name], "last", len(readings))
    frames = decode_all(video)
    cut = [crops.scale_short_side(frames[number], recipe.test.scale) for number in numbers]
    cut = [crops.cut(one, crops.centre(one.shape[1], one.shape[0], recipe.test.crop)) for one in cut]
    clip = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)[None]
    with torch.inference_mode():
        each = model.frame_scores(Pixels(model, torch.device("cpu"), channels_last=False)(clip).flatten(0, 1))
    wanted = each.numpy()
    assert np.abs(np.diff(wanted, axis=0)).max() > 1e-3
    np.testing.assert_allclose(np.stack([one.logits for one in readings]), wanted, rtol=1e-4, atol=1e-4)
    probabilities = 1 / (1 + np.exp(-wanted))
    for tick, one in enumerate(readings):
        mean = probabilities[max(0, tick - 2) : tick + 1].mean(0)
        np.testing.assert_allclose(one.mean, mean, rtol=1e-3, atol=1e-5)
        assert one.labels[0][1] == pytest.approx(float(mean.max()), rel=1e-3)
        assert one.seconds == pytest.approx(tick / 7)


def test_everything_is_written(runs: dict[str, Run], video: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    outputs = Outputs(tmp_path / "a.mp4", tmp_path / "t.csv", tmp_path / "t.png")
    readings = watch(runs["tsm_online"], video, 10, outputs)
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["class"] for row in rows for _ in range(int(row["frames"]))] == [one.labels[0][0] for one in readings]
    assert float(rows[0]["begin"]) == 0
    assert float(rows[-1]["end"]) == pytest.approx(readings[-1].seconds + 0.1)
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert len(frames) == 60
    assert [time for time, _ in frames] == pytest.approx([number / 30 for number in range(60)], abs=2e-3)
    plain = decode_all(video)
    top = [np.abs(after.astype(int) - before)[:12].mean() for (_, after), before in zip(frames, plain, strict=True)]
    rest = [np.abs(after.astype(int) - before)[40:].mean() for (_, after), before in zip(frames, plain, strict=True)]
    assert min(top[4:]) > 20 > 6 > max(rest)


def test_it_stops_when_asked_and_leaves_whole_files(runs: dict[str, Run], video: Path, tmp_path: Path) -> None:
    readings: list[Reading] = []
    outputs = Outputs(video=tmp_path / "a.mkv", timeline=tmp_path / "t.csv")
    with Watcher(runs["tsm_online"], "last", 1) as watcher, StreamSource(str(video), 20, DecodeSettings()) as source:
        one = Watch(watcher, source, 10, readings.append, lambda text: None, lambda: len(readings) == 3)
        one.run(outputs)
    assert one.readings == 3
    assert sum(int(row["frames"]) for row in csv.DictReader((tmp_path / "t.csv").open())) == 3
    assert 6 <= len(decode_all(tmp_path / "a.mkv")) <= 8


def test_a_network_that_looks_ahead(runs: dict[str, Run]) -> None:
    with pytest.raises(UserError, match="looks ahead"):
        Watcher(runs["tin"], "last", 1)


def test_the_rate_of_training(runs: dict[str, Run], challenge: Path) -> None:
    recipe = runs["tsm_online"].load_recipe()
    dense = recipe.model_copy(update={"clip": recipe.clip.model_copy(update={"sampling": "dense", "stride": 4})})
    assert rate_of_training(dense, 30).fps == 7.5
    with pytest.raises(UsageError, match="does not state"):
        rate_of_training(dense, 0)
    by_time = dense.model_copy(update={"clip": dense.clip.model_copy(update={"fps": 12.5})})
    assert rate_of_training(by_time, 30).fps == 12.5
    with pytest.raises(UsageError, match="how long those are is not known"):
        rate_of_training(recipe, 30)
