"""The manifest: built once, opened at once, built again when it must be; and the commands that show it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.helpers.small_mmit import TRAIN, config, small_mmit
from tests.helpers.video_files import write_video
from tinkit.cli.data import app
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.manifest.table import SCHEMA
from tinkit.errors import UsageError, UserError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TINKIT_CACHE", raising=False)
    return small_mmit(tmp_path)


def test_what_it_holds(root: Path) -> None:
    manifest = open_manifest(config(root, version="2"), "train")
    assert manifest.table.schema.equals(SCHEMA)
    assert (manifest.dataset, manifest.version, manifest.split) == ("mmit", "2", "train")
    assert (manifest.task, manifest.media, manifest.min_frames) == ("multi-label", "video", 1)
    assert manifest.classes == ("stroking/petting", "singing", "running", "never seen")
    assert manifest.root == root
    assert len(manifest) == 3
    assert manifest.labelled
    row = manifest.row(1)
    assert (row.id, row.path, row.source) == ("sing/yt-a_4.mp4", "videos/sing/yt-a_4.mp4", "yt-a")
    assert (row.frames, row.start, row.labels) == (None, 0, (0, 2))
    assert manifest.label_counts().tolist() == [1, 1, 2, 0]
    assert manifest.labels_a_clip().tolist() == [0, 2, 1]
    with pytest.raises(IndexError):
        manifest.row(3)
    with pytest.raises(IndexError):
        manifest.row(-1)


def test_an_unlabelled_split(root: Path) -> None:
    manifest = open_manifest(config(root), "test")
    assert not manifest.labelled
    assert manifest.row(0).labels is None
    assert manifest.label_counts().tolist() == [0, 0, 0, 0]
    assert manifest.labels_a_clip().sum() == 0


def test_head(root: Path) -> None:
    manifest = open_manifest(config(root), "train")
    assert manifest.head(2).ids == manifest.ids[:2]
    assert manifest.head(99).ids == manifest.ids
    assert len(manifest.head(0)) == 0
    assert manifest.head(1).label_counts().tolist() == [0, 1, 0, 0]


def test_it_is_one_memory_mapped_file_beside_the_data(root: Path) -> None:
    before = pa.total_allocated_bytes()
    manifest = open_manifest(config(root), "train")
    again = open_manifest(config(root), "train")
    assert manifest.file.parent == root / ".tinkit"
    assert again.table.equals(manifest.table)
    assert again.table.column("id").num_chunks == 1
    assert pa.total_allocated_bytes() == before  # what a map holds is not allocated
    assert [path.name for path in manifest.file.parent.iterdir()] == [manifest.file.name]


def test_it_survives_the_way_to_a_worker_that_is_not_forked(root: Path) -> None:
    manifest = open_manifest(config(root), "train").head(2)
    copy = pickle.loads(pickle.dumps(manifest))
    assert copy.ids == manifest.ids
    assert copy.classes == manifest.classes


def test_reading_rows_adds_nothing_to_what_is_sent_to_a_worker(root: Path) -> None:
    manifest = open_manifest(config(root), "train")
    size, rows = len(pickle.dumps(manifest)), [manifest.row(index) for index in range(len(manifest))]
    sent = pickle.dumps(manifest)
    assert len(sent) == size
    assert [pickle.loads(sent).row(index) for index in range(len(manifest))] == rows


def test_it_is_kept_and_rebuilt_only_when_it_must_be(root: Path) -> None:
    file = open_manifest(config(root), "train").file
    made = file.stat().st_ino
    assert open_manifest(config(root), "train").file.stat().st_ino == made
    assert open_manifest(config(root), "train", rebuild=True).file.stat().st_ino != made

    annotation = root / "annotations/trainingSet.csv"
    annotation.write_text(TRAIN + "new/1.mp4,0\n")
    assert len(open_manifest(config(root), "train")) == 4
    # The same size, another time: the content may differ
    annotation.write_text(TRAIN + "new/2.mp4,0\n")
    os.utime(annotation, ns=(1, 1))
    assert open_manifest(config(root), "train").ids[-1] == "new/2.mp4"
    (root / "annotations/categories.txt").write_text("a\nb\nc\nd\n")
    assert open_manifest(config(root), "train").classes == ("a", "b", "c", "d")


def test_two_configurations_keep_two_files(root: Path) -> None:
    first = open_manifest(config(root), "train")
    other = open_manifest(config(root, media_folder="clips"), "train")
    assert first.file != other.file
    assert other.row(0).path == "clips/sing/yt-a_1.mp4"
    assert open_manifest(config(root), "train").row(0).path == "videos/sing/yt-a_1.mp4"


def test_an_annotation_file_may_lie_anywhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("pet/1.mp4,0\n")
    assert open_manifest(config(root, val=str(tmp_path / "mine.csv")), "val").ids == ["pet/1.mp4"]


def test_a_torn_file_is_built_again(root: Path) -> None:
    file = open_manifest(config(root), "train").file
    file.write_bytes(file.read_bytes()[:300])
    assert len(open_manifest(config(root), "train")) == 3
    file.write_bytes(b"")
    assert len(open_manifest(config(root), "train")) == 3


def test_where_the_data_cannot_be_written_the_cache_is_used(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".tinkit").write_text("a file where the folder would be: nothing can be written below it")
    manifest = open_manifest(config(root), "train")
    assert tmp_path / "cache/tinkit/manifests" in manifest.file.parents
    made = manifest.file.stat().st_ino
    assert open_manifest(config(root), "train").file.stat().st_ino == made
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "chosen"))
    assert tmp_path / "chosen/manifests" in open_manifest(config(root), "train").file.parents


def test_who_has_no_cache_keeps_it_beside_the_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home directory")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", no_home)
    assert open_manifest(config(root), "train").file.parent == root / ".tinkit"


def test_where_nothing_can_be_written_the_error_names_both(root: Path, tmp_path: Path) -> None:
    (root / ".tinkit").write_text("")
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match="neither beside the data nor in the cache") as caught:
        open_manifest(config(root), "train")
    assert str(root / ".tinkit") in str(caught.value)


def test_a_bad_annotation_leaves_the_old_manifest_and_no_litter(root: Path) -> None:
    file = open_manifest(config(root), "train").file
    old = file.read_bytes()
    (root / "annotations/trainingSet.csv").write_text(TRAIN + "a/1.mp4,77\n")
    with pytest.raises(UserError, match=r"trainingSet.csv:4: the label 77 is out of range"):
        open_manifest(config(root), "train")
    assert file.read_bytes() == old
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_media_that_lie_elsewhere(root: Path) -> None:
    manifest = open_manifest(config(root), "train")
    with pytest.raises(UserError, match=r"none of 3 sampled clips.*videos/sing/yt-a_1.mp4") as caught:
        manifest.require_media()
    assert "data.media_folder" in str(caught.value)
    clip = root / "videos/pet/getty-id7_13.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    manifest.require_media()
    manifest.head(0).require_media()


def test_an_unknown_split(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no split is called 'valid'; did you mean 'val'\?"):
        open_manifest(config(root), "valid")


class TestCommands:
    def run(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.exception) if code and not isinstance(result.exception, SystemExit) else result.stdout

    def test_layouts(self) -> None:
        rows = json.loads(self.run("layouts", "--json"))
        listed = {row["dataset"]: row for row in rows}
        assert {"mmit", "sthv1", "sthv2", "jester", "kinetics400", "ucf101", "list", "table"} <= listed.keys()
        assert not any("{" in place for row in rows for place in row["train"])
        assert "sthv1" in self.run("layouts")

    def test_prepare_builds_what_is_there_and_looks_for_the_clips(self, root: Path) -> None:
        message = self.run("prepare", "mmit", "--data", str(root), code=1)
        assert "none of 3 sampled clips" in message
        for folder in ("sing", "x"):
            (root / "videos" / folder).mkdir(parents=True)
        for clip in ("sing/yt-a_1.mp4", "x/1.mp4", "x/2.mp4"):
            (root / "videos" / clip).touch()
        message = self.run("prepare", "mmit", "--data", str(root), code=1)
        assert "train: none of 3 sampled clips can be decoded" in message
        for clip in ("sing/yt-a_1.mp4", "x/1.mp4", "x/2.mp4"):
            write_video(root / "videos" / clip, count=3)
        assert "train: 2 of 3 clips are missing" in self.run("prepare", "mmit", "--data", str(root), code=1)
        (root / "videos/pet").mkdir()
        for clip in ("sing/yt-a_4.mp4", "pet/getty-id7_13.mp4"):
            write_video(root / "videos" / clip, count=3)
        rows = json.loads(self.run("prepare", "mmit", "--data", str(root), "--json"))
        assert [(row["split"], row["clips"], row["labels"]) for row in rows] == [
            ("train", 3, 4),
            ("val", 1, 1),
            ("test", 1, None),
        ]
        assert [(row["missing"], row["empty"]) for row in rows] == [(0, 0)] * 3
        assert rows[0]["sources"] == 2
        assert rows[0]["classes without a clip"] == 1

    def test_show(self, root: Path) -> None:
        rows = json.loads(self.run("show", "mmit", "--data", str(root), "--start", "1", "-n", "1", "--json"))
        assert rows == [
            {
                "row": 1,
                "id": "sing/yt-a_4.mp4",
                "path": "videos/sing/yt-a_4.mp4",
                "frames": None,
                "labels": "stroking/petting; running",
                "source": "yt-a",
            }
        ]
        by_id = json.loads(self.run("show", "mmit", "--data", str(root), "--id", "pet/getty-id7_13.mp4", "--json"))
        assert [row["row"] for row in by_id] == [2]
        assert "no clip of 'train' has the id" in self.run("show", "mmit", "--data", str(root), "--id", "no", code=1)

    def test_stats(self, root: Path) -> None:
        found = json.loads(self.run("stats", "mmit", "--data", str(root), "--json"))
        assert [row["clips"] for row in found["per_class"]] == [1, 1, 2, 0]
        assert found["labels_a_clip"] == [{"labels": 1, "clips": 2}, {"labels": 2, "clips": 1}]
        assert "are unknown" in self.run("stats", "mmit", "--data", str(root), "--split", "test")
        assert "running" in self.run("stats", "mmit", "--data", str(root))

    def test_a_recipe_of_ones_own_and_a_name_that_is_neither(self, root: Path, tmp_path: Path) -> None:
        recipe = tmp_path / "mine.toml"
        recipe.write_text(f'extends = "mmit_r50"\n[data]\nroot = "{root}"\n')
        rows = json.loads(self.run("show", str(recipe), "--set", "data.media_folder=clips", "--json"))
        assert rows[0]["path"] == "clips/sing/yt-a_1.mp4"
        assert "nor a layout: mmit, sthv1" in self.run("show", "mmti", code=1)
        assert "--set goes with a recipe" in self.run("show", "mmit", "--set", "data.val=x", code=1)
