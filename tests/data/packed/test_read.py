"""Clips read from shards: as from folders of the same frames, from disk and from fsspec, and never a wrong frame."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from tests.helpers.video_files import write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.join import join
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.packed.frames import PackedFrames
from tinkit.data.packed.index import PackSettings
from tinkit.data.packed.storage import Folder
from tinkit.data.packing.loose import LooseFolder, write_loose
from tinkit.data.packing.pack import pack_split
from tinkit.data.packing.place import PackTo
from tinkit.data.packing.sources import SourceFiles
from tinkit.data.probe.presence import count_present, decode_one
from tinkit.errors import UserError
from tinkit.spread.engine import Engine

PLAIN = DecodeSettings()
NAMES = ("one", "two", "three", "four")
CLIP = ClipConfig(num_segments=3, size=32)
VIEWS = ViewConfig(views="2x3", scale=40, crop=32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose frames are packed, and in folders; its videos are gone."""
    root = tmp_path_factory.mktemp("set")
    for number, name in enumerate(NAMES):
        write_video(root / f"{name}.mp4", count=9 + number, seed=number)
    (root / "bad.mp4").write_text("no film")
    settings = PackSettings(pixels=48)
    rows = [(name, f"{name}.mp4", "a") for name in (*NAMES, "bad")]
    for split, some in (("train", rows[:3]), ("val", rows[3:])):
        manifest = write_manifest(root, some, split)
        files = SourceFiles(str(root), "video", "", PLAIN)
        pack_split(manifest, files, PackTo(root / "packed", split, 10**6, settings), Engine(0))
    manifests = [open_manifest(DataConfig(dataset="table", root=root), split) for split in ("train", "val")]
    write_loose(manifests, files, LooseFolder(root / "loose", "", settings), Engine(0))
    for name in (*NAMES, "bad"):
        (root / f"{name}.mp4").unlink()
    return root


def opened(root: Path, split: str = "train", packed: str = "packed", **more: Any) -> Manifest:
    return open_manifest(DataConfig.model_validate({"dataset": "table", "root": root, "packed": packed} | more), split)


def loose(root: Path, split: str = "train") -> Manifest:
    """The same clips, by the list that was written beside their folders."""
    return open_manifest(
        DataConfig(
            dataset="list", root=root / "loose", media="frames", frame_template="img_{:05d}.jpg", num_classes=3,
            train="train_videofolder.txt", val="val_videofolder.txt", categories="category.txt", task="multi-label",
        ),
        split,
    )  # fmt: skip


def same(one: Any, other: Any) -> bool:
    return bool(one["valid"] and other["valid"]) and np.array_equal(one["frames"].numpy(), other["frames"].numpy())


def test_training_and_testing_see_the_pixels_of_the_folders(root: Path) -> None:
    packed, folders = opened(root), loose(root)
    assert packed.ids == folders.ids == list(NAMES[:3])
    for epoch in range(2):
        for index in range(3):
            assert same(TrainClips(packed, CLIP, 0)[epoch, index], TrainClips(folders, CLIP, 0)[epoch, index])
    for index in range(3):
        assert same(TestClips(packed, CLIP, VIEWS)[index], TestClips(folders, CLIP, VIEWS)[index])
    difference = ClipConfig(num_segments=2, size=32, modality="rgb_diff")
    assert same(TrainClips(packed, difference, 0)[0, 1], TrainClips(folders, difference, 0)[0, 1])


def test_workers_open_the_shards_for_themselves(root: Path) -> None:
    clips = TrainClips(opened(root), CLIP, 0)
    again = pickle.loads(pickle.dumps(clips))
    assert same(again[0, 2], clips[0, 2])
    assert len(pickle.dumps(opened(root).packed)) < 500


def test_splits_are_joined(root: Path) -> None:
    both = TrainClips(join([opened(root), opened(root, "val")]), CLIP, 0)
    items = [both[0, index] for index in range(5)]
    assert [item["valid"] for item in items] == [True] * 4 + [False]
    assert "when it was packed" in items[4]["reason"]


def test_the_rate_of_the_videos_is_kept(root: Path) -> None:
    clips = TestClips(opened(root), CLIP, VIEWS.model_copy(update={"fps": 15.0}))
    assert clips[0]["valid"]
    with opened(root).packed.open("one", 0, None, PLAIN) as reader:  # type: ignore[union-attr]
        assert reader.facts().rate == 30.0


def test_what_is_there_is_counted(root: Path) -> None:
    found = count_present(opened(root, "val"))
    assert (found.files, found.missing, found.first) == (2, 1, "bad")
    decode_one(opened(root))
    opened(root).require_media()


@pytest.fixture
def memory(root: Path) -> Any:
    system = fsspec.filesystem("memory")
    system.put(str(root / "packed"), "/shards", recursive=True)
    yield system
    system.rm("/shards", recursive=True)


@pytest.mark.parametrize("address", ["memory://shards", "file://{root}/packed", "{root}/packed"])
def test_addresses(root: Path, memory: Any, address: str) -> None:
    far = TrainClips(opened(root, packed=address.format(root=root)), CLIP, 0)
    near = TrainClips(opened(root), CLIP, 0)
    assert all(same(far[0, index], near[0, index]) for index in range(3))


@pytest.mark.parametrize("kind", ["short", "flipped", "shifted", "failing"])
def test_a_torn_read_is_a_broken_clip(root: Path, memory: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    whole = MemoryFileSystem.cat_file

    def torn(self: Any, path: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        data = whole(self, path, start, end, **more)
        if kind == "failing":
            raise RuntimeError("the network is away")
        if kind == "shifted":
            return whole(self, path, (start or 0) + 512, None if end is None else end + 512, **more)
        return data[:-1] if kind == "short" else data[:-9] + bytes([data[-9] ^ 4]) + data[-8:]

    clips = TrainClips(opened(root, packed="memory://shards"), CLIP, 0)
    assert clips[0, 0]["valid"]
    monkeypatch.setattr(MemoryFileSystem, "cat_file", torn)
    item = clips[0, 0]
    assert not item["valid"]
    assert item["broken"]
    assert not item["frames"].any()


def test_places_without_shards(root: Path, tmp_path: Path) -> None:
    for address in ("nowhere", "memory://nowhere", str(tmp_path)):
        with pytest.raises(UserError, match="no packed clips of 'train' at"):
            TrainClips(opened(root, packed=address), CLIP, 0)
    with pytest.raises(UserError, match="cannot be opened"):
        TrainClips(opened(root, packed="gopher-2://x/y"), CLIP, 0)
    for odd in ("", "../x", "a\0b"):
        with pytest.raises(ValueError, match="packed"):
            DataConfig(dataset="table", packed=odd)
    shutil.copytree(root / "packed", tmp_path / "packed")
    index = tmp_path / "packed" / "train.arrow"
    index.write_bytes(index.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"no packed clips|damaged|not an"):
        TrainClips(opened(root, packed=str(tmp_path / "packed")), CLIP, 0)


def test_a_shard_that_is_cut_off_while_it_is_open(root: Path, tmp_path: Path) -> None:
    """The process that has it open would end if it were mapped."""
    shutil.copytree(root / "packed", tmp_path / "packed")
    frames = PackedFrames(str(tmp_path / "packed"), ("train",))
    reader = frames.open("one", 0, None, PLAIN)
    assert len(reader.read([0, 1])) == 2
    for tar in (tmp_path / "packed").glob("train-*.tar"):
        os.truncate(tar, 100)
    with pytest.raises(BrokenClip, match=r"0 bytes of"):
        reader.read([0, 1])
    with pytest.raises(BrokenClip):
        frames.open("one", 0, None, PLAIN).read([0])


CUT_OFF = """
import os, sys
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.packed.frames import PackedFrames
from tinkit.errors import UserError

folder, name = sys.argv[1:]
frames = PackedFrames(folder, ("train",))
reader = frames.open("one", 0, None, DecodeSettings())
os.truncate(f"{folder}/{name}", 0)
assert len(reader.read([0, 1, 2])) == 3
try:
    frames.open("one", 0, None, DecodeSettings())
except (BrokenClip, UserError) as problem:
    print(type(problem).__name__, problem)
"""


@pytest.mark.parametrize(("name", "error"), [("train.arrow", "DamagedFileError"), ("train-000000.arrow", "BrokenClip")])
def test_an_index_that_is_cut_off_while_it_is_open(root: Path, tmp_path: Path, name: str, error: str) -> None:
    """It is mapped: a look at what is gone would end the process (SIGBUS). An open clip needs it no more."""
    shutil.copytree(root / "packed", tmp_path / "packed")
    words = [sys.executable, "-c", CUT_OFF, str(tmp_path / "packed"), name]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(error), done.stdout
    assert "it was cut off while it was open" in done.stdout


def test_consecutive_frames_are_one_call(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, pread = list[int](), os.pread
    monkeypatch.setattr(os, "pread", lambda *given: (calls.append(given[1]), pread(*given))[1])
    reader = PackedFrames(str(root / "packed"), ("train",)).open("one", 0, None, PLAIN)
    assert len(reader.read(range(reader.num_frames))) == 9
    assert len(calls) == 1


def test_large_frames_are_not_read_together(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = PackedFrames(str(root / "packed"), ("train",))
    reader = frames.open("one", 0, None, PLAIN)
    wanted = list(range(reader.num_frames))
    whole, sizes = reader.read(wanted), []
    monkeypatch.setattr("tinkit.data.packed.frames._BYTES_TOGETHER", 1)
    monkeypatch.setattr(Folder, "read", lambda *given, read=Folder.read: (sizes.append(len(given[2])), read(*given))[1])
    again = frames.open("one", 0, None, PLAIN).read(wanted)
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))
    assert sizes == [1] * len(wanted)


def test_another_id_in_the_index_of_a_shard(root: Path, tmp_path: Path) -> None:
    """The shard of another split, under this one's name, is never taken for it."""
    shutil.copytree(root / "packed", tmp_path / "packed")
    for kind in ("tar", "arrow"):
        shutil.copy(tmp_path / "packed" / f"val-000000.{kind}", tmp_path / "packed" / f"train-000000.{kind}")
    frames = PackedFrames(str(tmp_path / "packed"), ("train",))
    with pytest.raises(BrokenClip):
        frames.open("one", 0, None, PLAIN).read([0])


def test_the_command_writes_folders(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        write_video(tmp_path / f"{name}.mp4", count=3 + number, seed=number)
    write_manifest(tmp_path, [(name, f"{name}.mp4", "b") for name in NAMES])
    words = ["data", "frames", "table", "--data", str(tmp_path), "--split", "train", "--loose", "--workers", "0"]
    done = CliRunner().invoke(app, [*words, "--pixels", "32"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "frames" / "train_videofolder.txt").read_text().splitlines()[1] == "two 4 1"
    assert sorted(path.name for path in (tmp_path / "frames" / "two").iterdir())[0] == "img_00001.jpg"
    shutil.rmtree(tmp_path / "frames" / "one")
    write_video(tmp_path / "two.mp4", count=2, seed=9)
    again = CliRunner().invoke(app, [*words, "--pixels", "32", "--json"])
    assert '"written now": 2' in again.stdout
    assert len(list((tmp_path / "frames" / "two").iterdir())) == 2
