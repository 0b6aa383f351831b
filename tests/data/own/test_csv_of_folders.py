"""A csv of one's own that names folders; names and classes that are numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.video_files import write_images
from tinkit.data.own.clips import OwnClip, OwnClips, taken_apart, with_named_numbers, with_sources
from tinkit.data.own.columns import Columns, clips_in_csv
from tinkit.data.own.found import clips_at
from tinkit.errors import UserError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


class TestFoldersInACsv:
    def make(self, root: Path) -> Path:
        for name in ("a", "b"):
            for number in range(2):
                for piece in range(2):
                    write_images(root / name / f"s{number}" / f"p{piece}", 2)
        return root

    def read(self, root: Path, text: str) -> tuple[OwnClips, str]:
        (root / "l.csv").write_text(text)
        return clips_in_csv(root / "l.csv", root, Columns())

    def test_each_folder_of_images_is_a_clip(self, tmp_path: Path) -> None:
        own, words = self.read(self.make(tmp_path), "a/s0/p0/,a\na/s1/p0,a\nb/s0/p1,b\n")
        assert [(clip.path, clip.labels) for clip in own.clips] == [
            ("a/s0/p0", ("a",)),
            ("a/s1/p0", ("a",)),
            ("b/s0/p1", ("b",)),
        ]
        assert (own.media, own.frame_template) == ("frames", "{:05d}.jpg")
        assert words == "paths in '1', labels in '2'"

    def test_a_folder_of_several_clips_is_their_source(self, tmp_path: Path) -> None:
        text = "label,clip\n" + "".join(f"{name},{name}/s{number}\n" for name in "ab" for number in (0, 1))
        own, words = self.read(self.make(tmp_path), text)  # the labels are folders, too
        assert words == "paths in 'clip', labels in 'label'; 4 of the paths are folders of several clips"
        assert [(clip.path, clip.source) for clip in own.clips][:3] == [
            ("a/s0/p0", "a/s0"),
            ("a/s0/p1", "a/s0"),
            ("a/s1/p0", "a/s1"),
        ]

    def test_videos_and_folders_of_images_do_not_mix_and_odd_names_are_told(self, tmp_path: Path) -> None:
        touch(self.make(tmp_path), "x.mp4")
        with pytest.raises(UserError, match=r"2 clips are folders of images, .* 1 are files, such as .*x\.mp4"):
            self.read(tmp_path, "clip,label\na/s0/p0,a\nb/s0/p0,b\nx.mp4,b\n")
        touch(tmp_path, "odd/shot7.jpg")
        own, _ = self.read(tmp_path, "clip,label\na/s0/p0,a\nb/s0/p0,b\nodd,b\n")
        assert [clip.path for clip in own.clips] == ["a/s0/p0", "b/s0/p0"]
        assert own.skipped == ("1 folders whose images are not named like {:05d}.jpg",)

    def test_hidden_files_and_links_are_not_followed_out(self, tmp_path: Path) -> None:
        touch(tmp_path, "f/.hidden.mp4", "f/a.mp4", "f/.git/b.mp4", "../outside/c.mp4")
        (tmp_path / "f" / "link").symlink_to(tmp_path.parent / "outside")
        assert clips_at(tmp_path / "f") == [tmp_path / "f" / "a.mp4"]


def test_numbered_names_of_one_class_are_videos_of_their_own() -> None:
    clips = with_sources(
        OwnClip(f"{name}/{name}_{number}.mp4", (name,)) for name in ("jump", "run") for number in (1, 2)
    )
    assert [clip.source for clip in clips] == [clip.path for clip in clips]
    assert len(taken_apart(clips)) == 4
    cut = with_sources(OwnClip(f"{name}_{number}.mp4", ("a",)) for name in ("dance", "walk") for number in (1, 2))
    assert {clip.source for clip in cut} == {"/dance", "/walk"}
    assert taken_apart(cut) == ()


def test_classes_that_are_numbers_get_names_in_the_order_of_the_numbers() -> None:
    own = OwnClips(Path(), tuple(OwnClip(f"{n}.mp4", (n,)) for n in ("2", "10", "1")))
    assert with_named_numbers(own).classes == ("class 01", "class 02", "class 10")
    counted = OwnClips(Path(), tuple(OwnClip(f"{n}.mp4", (n,)) for n in ("0", "1")))
    assert with_named_numbers(counted) is counted
    assert with_named_numbers(OwnClips(Path(), (OwnClip("a", ("3",)), OwnClip("b", ("x",))))).classes == ("3", "x")
