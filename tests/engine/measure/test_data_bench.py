"""`tinkit data bench`: each stage's cost where it arises, what holds training back, and what the command prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.video_files import write_images, write_manifest
from tinkit.cli.app import app
from tinkit.data.clips import cuttings
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.open_clip import ImageReader
from tinkit.data.manifest.manifest import Manifest
from tinkit.engine.measure import loading
from tinkit.engine.measure.balance import Balance, Speeds, balance
from tinkit.engine.measure.loading import STAGES, TimedClips, loader_speed, stage_costs
from tinkit.errors import UsageError

CLIP = ClipConfig(num_segments=4, size=32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("images")
    write_images(root / "a", 8)
    rows = [(f"clip {n}", "a", "a b") for n in range(5)] + [("absent", "absent", "a")]
    return write_manifest(root, rows, media="frames")


def after(clock: SimpleNamespace, seconds: float, plain: Callable[..., Any]) -> Callable[..., Any]:
    """``plain``, which takes so long by a clock that nothing else moves."""

    def slow(*arguments: Any, **keywords: Any) -> Any:
        clock.now += seconds
        return plain(*arguments, **keywords)

    return slow


def test_what_a_stage_takes_is_counted_there(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    tell = SimpleNamespace(thread_time=lambda: clock.now, perf_counter=lambda: 3 * clock.now)
    monkeypatch.setattr(loading, "time", tell)
    monkeypatch.setattr(loading, "_read_cold", after(clock, 0.5, loading._read_cold))
    monkeypatch.setattr(ImageReader, "decode_part", after(clock, 1.0, ImageReader.decode_part))
    monkeypatch.setattr(cuttings.crops, "cut_into", after(clock, 10.0, cuttings.crops.cut_into))
    monkeypatch.setattr(cuttings, "can_show_jpegs", lambda target: False)  # frame by frame
    monkeypatch.setattr(loading, "collate", after(clock, 100.0, loading.collate))
    clips = TimedClips(manifest, CLIP, 0)
    ticks: list[int] = []
    costs = stage_costs(clips, range(6), 3, after(clock, 1000.0, lambda frames: None), ticks.append)
    assert (costs.clips, costs.broken, ticks) == (5, 1, [3, 3])
    wanted = {"read": 4 * 0.5, "decode": 4 * 1.0, "resize and augment": 4 * 10.0, "collate": 2 * 100 / 5, "copy": 400.0}
    assert {stage: costs.cpu_ms(stage) / 1000 for stage in STAGES} == pytest.approx(wanted)
    assert costs.wall_ms("decode") == pytest.approx(3 * costs.cpu_ms("decode"))
    assert costs.worker_cpu_ms == pytest.approx(86_000)
    assert costs.waiting_ms == pytest.approx(4000)


def test_one_call_for_all_frames_counts_as_decoding(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loading, "time", SimpleNamespace(thread_time=lambda: clock.now, perf_counter=lambda: clock.now))
    monkeypatch.setattr(cuttings, "can_show_jpegs", lambda target: True)
    monkeypatch.setattr(cuttings, "show_jpegs", after(clock, 8.0, lambda files, *_: len(files)))
    costs = stage_costs(TimedClips(manifest, CLIP, 0), range(6), 3, lambda frames: None, lambda count: None)
    assert costs.cpu_ms("decode") == pytest.approx(8000)
    assert costs.cpu_ms("resize and augment") == pytest.approx(0)


def test_timed_clips_are_the_clips_that_are_trained_on(manifest: Manifest) -> None:
    timed, plain = TimedClips(manifest, CLIP, 3), TrainClips(manifest, CLIP, 3)
    timed.costs = loading.StageCosts()
    for row in range(6):
        assert torch.equal(timed[0, row]["frames"], plain[0, row]["frames"])
        assert timed[0, row]["reason"] == plain[0, row]["reason"]
    assert loader_speed(timed, range(5), 2, 1, 0.0) > 0


@pytest.mark.parametrize(
    ("speeds", "cores", "shared", "found"),
    [
        (Speeds(20, 0, 90, None), 4, False, Balance("unknown", 4, None)),
        (Speeds(20, 0, 190, 100), 4, False, Balance("model", 3, 2.0)),  # two cores' work, and a tenth more
        (Speeds(20, 0, 190, 400), 4, False, Balance("data", 4, 8.0)),
        (Speeds(20, 30, 100, 100), 4, False, Balance("model", 6, 2.0)),  # the disk is waited for by more of them
        (Speeds(20, 0, 200, 50), 4, True, Balance("model", 1, 1.0)),  # the model takes four of five parts
        (Speeds(20, 0, 200, 400), 4, True, Balance("data", 3, 8.0)),
        (Speeds(1, 0, 9, 1), 1, True, Balance("model", 1, 0.001)),
    ],
)
def test_the_balance(speeds: Speeds, cores: int, shared: bool, found: Balance) -> None:
    assert balance(speeds, cores, shared=shared) == found


def bench(root: Path, *options: str) -> Any:
    changes = ["data.dataset=table", "data.media=frames", "clip.size=32", "clip.num_segments=2"]
    arguments = ["data", "bench", "demo_tsn", "--data", str(root), "--clips", "3", "--seconds", "0", "--workers", "1"]
    for change in (*changes, "optim.batch=2", "data.train=train.csv", "data.categories=classes.txt"):
        arguments += ["--set", change]
    return CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)


def test_the_command(manifest: Manifest) -> None:
    found = json.loads(bench(manifest.root, "--json", "--model-speed", "1e6").stdout)
    assert [row["stage"] for row in found["stages"]] == list(STAGES)
    assert sum(row["percent"] for row in found["stages"]) == pytest.approx(100)
    assert found["model"]["clips_per_s"] == 1e6
    assert found["clips"] + found["unusable"] == 3
    assert found["held_back_by"] == "data"
    assert found["loader"][0]["workers"] == 1
    shown = bench(manifest.root).stdout
    assert "the model, cpu" in shown
    assert "train.workers = " in shown
    assert "the model's speed is not known" in bench(manifest.root, "--no-model").stdout
    with pytest.raises(UsageError, match="--no-model and --model-speed"):
        bench(manifest.root, "--no-model", "--model-speed", "3")
