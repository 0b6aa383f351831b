"""Clips of one's own: found in folders and tables, kept together by source, split, and written as a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.video_files import write_images, write_video
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.own.clips import OwnClip, clips_in_folders, with_sources
from tinkit.data.own.columns import Columns, clips_in_csv
from tinkit.data.own.split import split_clips
from tinkit.data.own.write import write_annotations
from tinkit.errors import UserError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


class TestFolders:
    def test_a_folder_a_class_however_deep_its_videos_lie(self, tmp_path: Path) -> None:
        touch(tmp_path, "jump/a.mp4", "jump/day 2/b.MOV", "sit down/c.webm", "jump/notes.txt", ".hidden/x.mp4")
        touch(tmp_path, "annotations/train.csv", "jump/.cache/d.mp4")
        own = clips_in_folders(tmp_path)
        assert [(clip.path, clip.labels) for clip in own.clips] == [
            ("jump/a.mp4", ("jump",)),
            ("jump/day 2/b.MOV", ("jump",)),
            ("sit down/c.webm", ("sit down",)),
        ]
        assert own.classes == ("jump", "sit down")
        assert not own.multi_label
        assert own.skipped == ("1 .txt",)

    def test_folders_of_splits_are_kept(self, tmp_path: Path) -> None:
        touch(tmp_path, "Train/a/1x.mp4", "validation/a/2x.mp4", "test/b/3x.mp4")
        own = clips_in_folders(tmp_path)
        assert [(clip.labels, clip.split) for clip in own.clips] == [
            (("a",), "train"),
            (("b",), "test"),
            (("a",), "val"),
        ]
        assert split_clips(own.clips, 0.2, 0) == own.clips

    def test_folders_of_images(self, tmp_path: Path) -> None:
        for clip in ("a/one", "b/two"):
            write_images(tmp_path / clip, 3)
        own = clips_in_folders(tmp_path)
        assert (own.media, own.frame_template) == ("frames", "{:05d}.jpg")
        assert [(clip.path, clip.labels) for clip in own.clips] == [("a/one", ("a",)), ("b/two", ("b",))]

    @pytest.mark.parametrize(
        ("names", "words"),
        [(["a.mp4"], "lie in no class"), (["a/readme.txt"], "no video in"), (["a/0001.jpg"], "not in a clip")],
    )
    def test_what_has_no_classes_is_refused_with_the_shape_that_is_needed(
        self, tmp_path: Path, names: list[str], words: str
    ) -> None:
        with pytest.raises(UserError, match=words) as caught:
            clips_in_folders(touch(tmp_path, *names))
        assert "folder for each class" in str(caught.value)


class TestOddNames:
    @pytest.mark.parametrize("name", ["a;b", " jump ", "ju\nmp", "a\udcff"])
    def test_a_class_that_a_csv_cannot_hold_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError, match="cannot be written down"):
            clips_in_folders(touch(tmp_path, f"{name}/x.mp4", "sit/y.mp4"))

    def test_files_that_a_csv_cannot_hold_and_links_to_nowhere_are_left_out_and_said(self, tmp_path: Path) -> None:
        touch(tmp_path, "jump/a.mp4", "jump/b\n.mp4", "jump/c\udcff.mp4", "sit/d.mp4")
        (tmp_path / "sit/e.mp4").symlink_to("gone.mp4")
        (tmp_path / "run").mkdir()
        own = clips_in_folders(tmp_path)
        assert [clip.path for clip in own.clips] == ["jump/a.mp4", "sit/d.mp4"]
        assert own.skipped == (
            "2 files whose names cannot be written into a csv",
            "1 folder without a video, 'run'",
            "1 links that lead nowhere",
        )

    def test_folders_of_images_named_otherwise_are_left_out_and_said(self, tmp_path: Path) -> None:
        for clip in ("a/one", "b/two", "b/three"):
            write_images(tmp_path / clip, 3)
        for image in (tmp_path / "b/three").iterdir():
            image.rename(image.with_name(f"img_{image.name}"))
        own = clips_in_folders(tmp_path)
        assert [clip.path for clip in own.clips] == ["a/one", "b/two"]
        assert own.skipped == ("1 folders whose images are not named like {:05d}.jpg",)

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["train/a/x.mp4", "val/a/y.mp4", "extra/z.mp4"], "extra lies beside them"),
            (["annotations/x.mp4", "sit/y.mp4"], "videos lie in annotations"),
        ],
    )
    def test_what_could_mean_two_things_is_refused(self, tmp_path: Path, names: list[str], words: str) -> None:
        with pytest.raises(UserError, match=words):
            clips_in_folders(touch(tmp_path, *names))

    @pytest.mark.parametrize("names", [("3", "5", "7"), ("1", "2"), ('"jump"', "sit"), ("name", "sit")])
    def test_names_that_would_be_read_as_something_else_are_refused(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        clips = [OwnClip(f"{at}.mp4", (name,), str(at), "train") for at, name in enumerate(names)]
        with pytest.raises(UserError) as caught:
            write_annotations(tmp_path / "annotations", clips, names, force=False)
        assert "rename" in str(caught.value)
        assert not list((tmp_path / "annotations").glob("*.*"))


class TestTables:
    def read(self, root: Path, text: str, **said: str) -> tuple[list[tuple[str, tuple[str, ...]]], str]:
        (root / "labels.csv").write_text(text)
        own, words = clips_in_csv(root / "labels.csv", root, Columns(**said))
        return [(clip.path, clip.labels) for clip in own.clips], words

    def test_columns_are_found_by_what_they_hold(self, tmp_path: Path) -> None:
        touch(tmp_path, "v/a.mp4", "v/b.mp4", "v/c.mp4", "v/d.mp4")
        text = "who,clip,length,what\nA,v/a,3.1,jump\nB,v/b,2.2,sit\nC,v/c.mp4,4.0,jump\nD,v/d,5.5,sit\n"
        rows, words = self.read(tmp_path, text)
        assert rows == [(f"v/{name}.mp4", (label,)) for name, label in zip("abcd", ("jump", "sit") * 2, strict=True)]
        assert words == "paths in 'clip', labels in 'what'"

    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    def test_without_a_header_and_with_any_delimiter(self, tmp_path: Path, delimiter: str) -> None:
        touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
        text = "".join(f"{name}.mp4{delimiter}{label}\n" for name, label in zip("abc", "xyx", strict=True))
        assert self.read(tmp_path, text) == (
            [("a.mp4", ("x",)), ("b.mp4", ("y",)), ("c.mp4", ("x",))],
            "paths in '1', labels in '2'",
        )

    def test_columns_of_0_and_1_are_classes(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.mp4", "b.mp4")
        rows, words = self.read(tmp_path, "file,jump,sit,wave\na.mp4,1,0,1\nb.mp4,0,0,0\n")
        assert rows == [("a.mp4", ("jump", "wave")), ("b.mp4", ())]
        assert "3 columns of 0 and 1" in words

    def test_rows_without_a_label_and_repeated_ones_are_left_out_and_said(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
        (tmp_path / "labels.csv").write_text("file,label\na.mp4,x\na.mp4,x\nb.mp4,\nc.mp4,y\n")
        own, _ = clips_in_csv(tmp_path / "labels.csv", tmp_path, Columns())
        assert [(clip.path, clip.labels) for clip in own.clips] == [("a.mp4", ("x",)), ("c.mp4", ("y",))]
        assert own.skipped == ("1 rows without a label", "1 rows that repeat others")
        assert not own.multi_label

    def test_several_labels_a_cell_splits_and_sources(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.mp4", "b.mp4")
        rows = ("a.mp4,jump; run,train,ann,1", "b.mp4,run,valid,bob,1", "lost.mp4,run,train,ann,2")
        (tmp_path / "labels.csv").write_text("\n".join(["file,tags,split,person,other", *rows]))
        own, words = clips_in_csv(tmp_path / "labels.csv", tmp_path, Columns())
        assert own.clips == (
            OwnClip("a.mp4", ("jump", "run"), "person=ann", "train"),
            OwnClip("b.mp4", ("run",), "person=bob", "val"),
        )
        assert own.multi_label
        assert own.skipped == ("1 clips that are not there, such as lost.mp4",)
        assert "split in 'split', source in 'person'" in words

    @pytest.mark.parametrize(
        ("text", "said", "words"),
        [
            ("file,label\nx.mp4,u\ny.mp4,w\n", {}, "no column names files"),
            ("file,label\na.mp4,a\n", {"label": "labl"}, "no column 'labl'; did you mean 'label'"),
            ("file,n\na.mp4,1.5\nb.mp4,2.5\nc.mp4,3.5\n", {}, "no column can be the labels"),
            ("just one column\nmore\n", {}, "not a table"),
            ("file,label\na.mp4,u\na.mp4,w\nb.mp4,u\n", {}, "in several rows"),
            ("file,split,label\na.mp4,train,u\nb.mp4,trainn,w\n", {"split": "split"}, "'trainn' is not a split"),
            ("file,label\n../a.mp4,u\n../../b.mp4,w\n", {}, "no column names files"),
        ],
    )
    def test_what_cannot_be_read_says_what_to_do(
        self, tmp_path: Path, text: str, said: dict[str, str], words: str
    ) -> None:
        inner = touch(tmp_path / "in", "a.mp4", "b.mp4")
        touch(tmp_path, "a.mp4")
        with pytest.raises(UserError, match=words):
            self.read(inner, text, **said)


def test_numbered_pieces_of_a_film_are_one_source() -> None:
    clips = [
        OwnClip(path, ("a",))
        for path in ("a/dance_1.mp4", "a/dance_02.mp4", "a/VID_20260101_120000.mp4", "b/dance_3.mp4")
    ]
    assert [clip.source for clip in with_sources(clips)] == [
        "a/dance",
        "a/dance",
        "a/VID_20260101_120000.mp4",
        "b/dance_3.mp4",
    ]


drawn = st.lists(
    st.tuples(st.integers(0, 12), st.sets(st.sampled_from("abcd"), min_size=1, max_size=2)), min_size=4, max_size=60
)


@settings(max_examples=150)
@given(drawn, st.floats(0.05, 0.5), st.integers(0, 5))
def test_a_split_keeps_sources_together_and_every_class_in_training(
    rows: list[tuple[int, set[str]]], share: float, seed: int
) -> None:
    clips = [OwnClip(f"{at}.mp4", tuple(sorted(labels)), f"s{source}") for at, (source, labels) in enumerate(rows)]
    if len({clip.source for clip in clips}) < 2:
        with pytest.raises(UserError, match="1 source"):
            split_clips(clips, share, seed)
        return
    labels_of = {
        source: {name for c in clips if c.source == source for name in c.labels}
        for source in {clip.source for clip in clips}
    }
    spare = [
        source
        for source in labels_of
        if labels_of[source] <= {name for other in labels_of if other != source for name in labels_of[other]}
    ]
    if not spare:
        with pytest.raises(UserError, match="no clip can be held out"):
            split_clips(clips, share, seed)
        return
    divided = split_clips(clips, share, seed)
    assert any(clip.split == "val" for clip in divided)
    assert [clip.path for clip in divided] == [clip.path for clip in clips]
    splits = {
        source: {clip.split for clip in divided if clip.source == source} for source in {c.source for c in divided}
    }
    assert all(len(found) == 1 for found in splits.values())
    trained = {label for clip in divided if clip.split == "train" for label in clip.labels}
    assert trained == {label for clip in clips for label in clip.labels}
    assert divided == split_clips(clips, share, seed)


def test_a_split_has_the_share_asked_for_of_every_class() -> None:
    clips = [OwnClip(f"{label}/{at}.mp4", (label,), f"{label}{at}") for label in "abc" for at in range(20)]
    for share, count in ((0.2, 4), (0.1, 2), (0.5, 10)):
        divided = split_clips(clips, share, 0)
        held = Counter(clip.labels[0] for clip in divided if clip.split == "val")
        assert held == dict.fromkeys("abc", count)


def test_what_is_written_is_a_data_set(tmp_path: Path) -> None:
    root = tmp_path / "films"
    for name in ("jump/a.mp4", "jump/b, c.mp4", "sit/ä.mp4", "sit/d.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, count=3)
    own = clips_in_folders(root)
    divided = split_clips(own.clips, 0.5, 1)
    files = write_annotations(root / "annotations", divided, own.classes, force=False)
    assert [file.name for file in files] == ["classes.txt", "train.csv", "val.csv"]
    config = DataConfig(dataset="table", root=root, task="single-label")
    found = {
        row["path"]: manifest.classes[row["labels"][0]]
        for manifest in (open_manifest(config, split) for split in ("train", "val"))
        for row in manifest.table.to_pylist()
    }
    assert found == {clip.path: clip.labels[0] for clip in own.clips}
    with pytest.raises(UserError, match="there already") as caught:
        write_annotations(root / "annotations", divided, own.classes, force=False)
    assert "--force" in str(caught.value)
    write_annotations(root / "annotations", [c for c in divided if c.split == "train"], own.classes, force=True)
    assert sorted(path.name for path in (root / "annotations").glob("*.csv")) == ["train.csv"]
