"""Optical flow that is computed: known motion comes out, runs are completed, broken clips are told. Needs OpenCV."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.video_files import write_images, write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.clips.testing import TestClips, load_views
from tinkit.data.config.dataset import DataConfig, FlowLayout
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.flow import make as flow_make
from tinkit.data.flow.computed import ComputedFlow, FlowSettings, flow_function, to_bytes
from tinkit.data.flow.folders import FlowFiles, FlowFolder
from tinkit.data.flow.make import STATE, make_flow
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.errors import UserError
from tinkit.files.claims import claim_folder
from tinkit.files.locks import lock_file, writing
from tinkit.spread.engine import Engine

FILES = FlowFiles("flow", "flow_x", "video", "", "{:05d}.jpg")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    write_video(tmp_path / "a.mp4", count=6)
    write_video(tmp_path / "b.mp4", count=5, seed=1)
    write_video(tmp_path / "still.mp4", count=1)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    rows = [(name, f"{name}.mp4", "a") for name in ("a", "b", "still", "broken")]
    return write_manifest(tmp_path, rows)


def test_motion_becomes_bytes() -> None:
    flow = np.array([-50, -20, -10, 0, 10, 20, 21], dtype=np.float32)
    assert to_bytes(flow, 20).tolist() == [0, 0, 64, 128, 191, 255, 255]
    assert to_bytes(flow, 20).dtype == np.uint8


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"tinkit\[flow\]"):
        flow_function("dis")
    with pytest.raises(UserError, match=r"tinkit\[flow\]"):
        make_flow([manifest], FILES, FlowSettings())
    assert not (manifest.root / "flow").exists()


def test_tv_l1_needs_the_contributed_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(UserError, match="contributed modules"):
        flow_function("tvl1")


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_a_texture_that_moves_by_three_and_minus_two_pixels(method: str) -> None:
    cv2 = pytest.importorskip("cv2")
    if method == "tvl1" and not hasattr(cv2, "optflow"):
        pytest.skip("OpenCV without its contributed modules")
    coarse = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC))
    before, after = picture[16:80, 16:80], picture[18:82, 13:77]  # what was at x is at x + 3; what was at y, at y - 2
    flow = flow_function(method)(np.ascontiguousarray(before), np.ascontiguousarray(after))  # type: ignore[arg-type]
    assert flow.shape == (64, 64, 2)
    inside = flow[12:-12, 12:-12]
    assert np.abs(inside[..., 0] - 3).mean() < 0.2
    assert np.abs(inside[..., 1] + 2).mean() < 0.2


def test_only_the_frames_that_are_needed_are_read(tmp_path: Path) -> None:
    """Images that no wanted pair needs may be broken; each pair is the same however many are asked for."""
    pytest.importorskip("cv2")
    folder = write_images(tmp_path / "clip", 8)
    with ComputedFlow(open_clip(folder, "frames"), FlowSettings()) as clip:
        assert clip.num_frames == 7
        whole = dict(clip.frames(range(7)))
    for number in (1, 4, 5):
        (folder / f"{number:05d}.jpg").write_bytes(b"no image")
    with ComputedFlow(open_clip(folder, "frames"), FlowSettings()) as clip:
        found = dict(clip.frames([6, 1, 5]))
        assert list(found) == [1, 5, 6]
        assert all(np.array_equal(found[index], whole[index]) for index in found)
        with pytest.raises(BrokenClip):
            clip.read([3])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_data_set_is_completed_and_its_broken_clips_are_told(manifest: Manifest, workers: int) -> None:
    pytest.importorskip("cv2")
    heard: list[int] = []
    first = make_flow([manifest.head(1)], FILES, FlowSettings(), engine=Engine(workers))
    assert (first.made, first.found, first.failed) == (1, 0, {})
    folder = manifest.root / "flow"
    before = {path: path.stat().st_mtime_ns for path in (folder / "a").iterdir()}
    for name in ("killed", "running"):
        half = folder / f".tinkit-flow-{name}" / "b"
        half.mkdir(parents=True)
        (half / "flow_x_00009.jpg").write_bytes(b"left over")
    (folder / "..tinkit-flow-killed.owner.lock").write_text("")
    with writing(folder / ".tinkit-flow-running.owner"):
        result = make_flow([manifest], FILES, FlowSettings(), engine=Engine(workers), on_clips=heard.append)
    assert (result.made, result.found) == (1, 1)
    assert result.failed["still.mp4"] == "a clip of 1 frames has no flow"
    assert list(result.failed) == ["still.mp4", "broken.mp4"]
    assert sum(heard) == 4
    assert {path: path.stat().st_mtime_ns for path in (folder / "a").iterdir()} == before
    assert sorted(path.name for path in folder.iterdir()) == [".tinkit-flow-running", STATE, "a", "b"]
    assert len(list((folder / "b").iterdir())) == 8


@pytest.mark.slow
def test_runs_that_begin_together_do_not_disturb_each_other(tmp_path: Path) -> None:
    together = Barrier(4)

    def begin(folder: Path) -> None:
        together.wait(60)
        claim_folder(folder / STATE, {"a": 1}, what="flow", command="tinkit data flow", key="--out")

    with ThreadPoolExecutor(4) as runs:
        for number in range(10):
            list(runs.map(begin, [tmp_path / str(number)] * 4))
            assert [path.name for path in (tmp_path / str(number)).iterdir()] == [STATE]


def test_the_lock_of_a_run_that_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    flow_make._claim(tmp_path, FILES, FlowSettings())
    lock_file(tmp_path / STATE).touch()
    flow_make._claim(tmp_path, FILES, FlowSettings())
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """The command on 24 clips."""
    for number in range(24):
        write_video(tmp_path / f"{number}.mp4", count=12, seed=number)
    write_manifest(tmp_path, [(str(number), f"{number}.mp4", "a") for number in range(24)])
    (tmp_path / "mine.toml").write_text('extends = "demo_tsn"\n[data]\ndataset = "table"\ntrain = "train.csv"\n')
    command = ["data", "flow", str(tmp_path / "mine.toml"), "--data", str(tmp_path), "--split", "train"]
    return [sys.executable, "-m", "tinkit", *command, "--workers", "1"]


def whole(folder: Path) -> int:
    """How many clips have flow, all of it."""
    clips = [path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")]
    assert all(len(list(clip.iterdir())) == 22 for clip in clips)
    return len(clips)


@pytest.mark.slow
def test_two_at_once_do_the_work_of_one(many: list[str], tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    runs = [subprocess.Popen(many, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        _, said = run.communicate(timeout=120)
        assert run.returncode == 0, said
    assert whole(tmp_path / "flow") == 24
    assert not list((tmp_path / "flow").glob(".tinkit-flow-*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_when_it_is_stopped_nothing_runs_on(many: list[str], tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("cv2")
    run = subprocess.Popen(many, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while run.poll() is None and not list((tmp_path / "flow").glob("[0-9]*")):
        time.sleep(0.01)
    run.send_signal(number)
    _, said = run.communicate(timeout=120)  # waits for whoever holds the pipes: a worker that was left would
    if run.returncode != 0:  # unless it was done before
        assert run.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number], said
        assert "Traceback" not in said
        assert number == signal.SIGKILL or "resume with the same command" in said
    assert subprocess.run(many, check=False, capture_output=True).returncode == 0
    assert whole(tmp_path / "flow") == 24


def test_a_clip_s_folder_appears_whole_or_not_at_all(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    encode, calls = flow_make._encode, iter(range(100))

    def failing(pair: np.ndarray, images: int) -> list[bytes]:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        return encode(pair, images)

    monkeypatch.setattr(flow_make, "_encode", failing)
    with pytest.raises(OSError, match="No space"):
        make_flow([manifest], FILES, FlowSettings(), engine=Engine(0))
    assert [path.name for path in (manifest.root / "flow").iterdir()] == [STATE]


@pytest.mark.parametrize("layout", ["flow_x", "x_suffix", "packed"])
def test_what_is_written_is_what_was_computed(tmp_path: Path, layout: FlowLayout) -> None:
    """JPEG leaves a few levels of 255 in between."""
    pytest.importorskip("cv2")
    write_video(tmp_path / "12.mp4", count=4)
    manifest = write_manifest(tmp_path, [("12", "12.mp4", "a")])
    files = FlowFiles("flow", layout, "video", "", "{:05d}.jpg")
    assert make_flow([manifest], files, FlowSettings(short_side=48), engine=Engine(0)).made == 1
    folder = files.clip_folder(tmp_path, "12.mp4")
    with ComputedFlow(open_clip(tmp_path / "12.mp4", "video"), FlowSettings(short_side=48)) as computed:
        wanted = computed.read(range(3))
    with FlowFolder(folder, files.templates(folder)) as written:
        found = written.read(range(written.num_frames))
    assert len(found) == 3
    assert wanted[0].shape == (48, 72, 2)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2


def test_two_ways_of_computing_are_not_mixed(manifest: Manifest) -> None:
    pytest.importorskip("cv2")
    make_flow([manifest.head(1)], FILES, FlowSettings(), engine=Engine(0))
    with pytest.raises(UserError, match=r"bound 20\.0, not 10\.0"):
        make_flow([manifest], FILES, FlowSettings(bound=10), engine=Engine(0))
    (manifest.root / "flow" / STATE).write_text("[")
    with pytest.raises(UserError, match="computed with other settings"):
        make_flow([manifest], FILES, FlowSettings(), engine=Engine(0))
    (manifest.root / "flow" / STATE).unlink()
    with pytest.raises(UserError, match="did not create it"):
        make_flow([manifest], FILES, FlowSettings(), engine=Engine(0))


def test_folders_that_would_collide_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    manifest = write_manifest(tmp_path, [("1", "a.mp4", "a"), ("2", "a.webm", "a")])
    with pytest.raises(UserError, match="would share the folder"):
        make_flow([manifest], FILES, FlowSettings(), engine=Engine(0))
    frames = DataConfig(dataset="list", root=tmp_path, flow_folder="")
    write_images(tmp_path / "clip", 4)
    (tmp_path / "category.txt").write_text("a\n")
    (tmp_path / "train.txt").write_text("clip 4 0\n")
    with pytest.raises(UserError, match="folder of the frames"):
        make_flow([open_manifest(frames, "train")], FlowFiles.of(frames), FlowSettings(), engine=Engine(0))


def test_the_command_and_a_clip_outside_of_any_data_set(manifest: Manifest) -> None:
    """What `tinkit predict` computes on the spot is what the command wrote, but for JPEG."""
    pytest.importorskip("cv2")
    recipe = manifest.root / "own.toml"
    recipe.write_text('extends = "demo_tsn"\n[data]\ndataset = "table"\nname = "own"\nversion = "1"\n')
    arguments = ["data", "flow", str(recipe), "--data", str(manifest.root), "--split", "train", "--workers", "0"]
    told = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    values = json.loads(told.stdout)
    assert (values["made"], values["found"], sorted(values["failed"])) == (2, 0, ["broken.mp4", "still.mp4"])
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "2 existed already" in again.stdout
    assert "broken.mp4" in again.stdout
    clip = ClipConfig(modality="flow", num_segments=2, flow_length=2)
    views = ViewConfig(scale=64, crop=48)
    outside = load_views(manifest.root / "a.mp4", "video", clip, views, "{:05d}.jpg").numpy()
    inside = TestClips(manifest, clip, views, FILES)[0]["frames"].numpy()
    assert outside.shape == inside.shape == (1, 2, 4, 48, 48)
    assert np.abs(outside.astype(int) - inside).mean() < 2
