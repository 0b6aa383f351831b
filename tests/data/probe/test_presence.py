"""What `tinkit data prepare` finds of the clips: missing, empty, of another kind, spelt otherwise."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.video_files import write_images, write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.missing import why_missing
from tinkit.data.probe.presence import Presence, count_present, decode_one, require_present
from tinkit.errors import UserError


def manifest_of(root: Path, paths: list[str], **config: str) -> Manifest:
    return write_manifest(root, [(str(number), path, "a") for number, path in enumerate(paths)], **config)


def test_missing_and_empty_files_are_counted(tmp_path: Path) -> None:
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "3.mp4").touch()
    (tmp_path / "4.mp4").mkdir()
    (tmp_path / "5.mp4").symlink_to(tmp_path / "nowhere")
    manifest = manifest_of(tmp_path, [f"{number}.mp4" for number in range(8)])
    found = count_present(manifest)
    assert (found.files, found.missing, found.empty, found.first) == (8, 4, 1, "3.mp4")
    assert found.lacking == 5
    with pytest.raises(UserError, match="4 of 8 clips are missing and 1 are empty"):
        require_present(manifest, found)


@pytest.mark.parametrize(
    ("files", "lacking", "good"),
    [(49, 23, False), (2, 1, False), (49, 4, True), (50, 5, True), (49, 5, False), (100, 6, False), (1000, 10, True),
     (1000, 11, False), (9, 1, False), (10, 1, True), (5, 0, True)],
)  # fmt: skip
def test_how_many_are_tolerated(tmp_path: Path, files: int, lacking: int, good: bool) -> None:
    """One in a hundred; of few clips five, but not more than a tenth."""
    found = Presence(files, lacking, 0, "x.mp4" if lacking else None)
    manifest = manifest_of(tmp_path, ["x.mp4"])
    if good:
        require_present(manifest, found)
    else:
        with pytest.raises(UserError, match=f"{lacking} of {files} clips are missing"):
            require_present(manifest, found)


def test_folders_of_images_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 2)
    (tmp_path / "b").mkdir()
    (tmp_path / "c").write_bytes(b"x")
    found = count_present(manifest_of(tmp_path, ["a", "b", "c", "d"], media="frames"))
    assert (found.missing, found.empty) == (2, 1)


def test_more_than_training_tolerates_is_an_error_that_counts(tmp_path: Path) -> None:
    write_video(tmp_path / "0.mp4", count=3)
    manifest = manifest_of(tmp_path, [f"{number}.mp4" for number in range(7)])
    with pytest.raises(UserError, match=r"train: 6 of 7 clips are missing and 0 are empty, such as .*1\.mp4"):
        require_present(manifest, count_present(manifest))


def test_prepare_says_what_it_looked_at_and_fails_where_much_is_missing(tmp_path: Path) -> None:
    write_video(tmp_path / "0.mp4", count=3)
    names = [f"{number}.mp4" for number in range(49)]
    for name in names[1:26]:
        (tmp_path / name).write_bytes((tmp_path / "0.mp4").read_bytes())
    manifest_of(tmp_path, names)
    command = ["data", "prepare", "table", "--data", str(tmp_path), "--split", "train", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "23 of 49 clips are missing" in str(result.exception)
    assert "one clip of each split" in result.stderr
    row = json.loads(result.stdout)[0]
    assert (row["clips"], row["missing"], row["empty"]) == (49, 23, 0)
    for name in names[26:]:
        (tmp_path / name).write_bytes((tmp_path / "0.mp4").read_bytes())
    assert CliRunner().invoke(app, command).exit_code == 0


@pytest.mark.parametrize(
    ("media", "template", "advice"),
    [("frames", "", "data.media = 'video'"), ("video", "", "data.media = 'frames'"), ("frames", "x", "img_{:05d}.jpg")],
)
def test_a_clip_of_each_split_is_decoded(tmp_path: Path, media: str, template: str, advice: str) -> None:
    """A recipe that takes `media` from its parent, and images that are called otherwise."""
    if media == "video" or template:
        write_images(tmp_path / "a", 2)
    else:
        write_video(tmp_path / "a.mp4", count=3)
    if template:
        for image in (tmp_path / "a").iterdir():
            image.rename(image.with_name(f"img_{image.name}"))
    path = "a" if (tmp_path / "a").exists() else "a.mp4"
    manifest = manifest_of(tmp_path, [path], media=media)
    with pytest.raises(UserError, match="can be decoded") as caught:
        decode_one(manifest)
    assert advice in str(caught.value)


def test_one_broken_clip_among_good_ones_is_no_error_here(tmp_path: Path) -> None:
    (tmp_path / "0.mp4").write_bytes(b"not a video")
    write_video(tmp_path / "1.mp4", count=3)
    decode_one(manifest_of(tmp_path, ["0.mp4", "1.mp4"]))


@pytest.mark.parametrize(
    ("there", "listed", "cause"),
    [
        ("videos/a/1.mp4", "videos\\a\\1.mp4", "backslashes"),
        ("videos/a/1.MP4", "videos/a/1.mp4", "capitals"),
        ("videos/A/1.mp4", "videos/a/1.mp4", "capitals"),
        (unicodedata.normalize("NFD", "videos/café/1.mp4"), "videos/café/1.mp4", "NFD"),
        ("videos/café/1.mp4", unicodedata.normalize("NFD", "videos/café/1.mp4"), "NFC"),
        ("videos/a/1.webm", "videos/a/1.mp4", "as .webm"),
        ("videos/a/1.mp4", "videos/a/1", "as .mp4"),
        ("a/1.mp4", "videos/a/1.mp4", "no folder 'videos'"),
        ("videos/a/1.mp4", "a/1.mp4", "another folder"),
        ("clips/a/1.mp4", "videos/a/1.mp4", "another folder"),
        ("videos/a b/1.mp4", "videos/a+b/1.mp4", "' ' for '+'"),
        ("videos/a/1.MP4", "videos\\a\\1.mp4", "backslashes"),
    ],
)
def test_the_cause_is_tried_and_named(tmp_path: Path, there: str, listed: str, cause: str) -> None:
    file = tmp_path / there
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    found = why_missing(tmp_path, ["videos/other.mp4", listed])
    assert found is not None
    assert cause in found[0]
    with pytest.raises(UserError, match="none of 1 clips") as caught:
        manifest_of(tmp_path, [listed]).require_media()
    assert found[0] in str(caught.value)


def test_no_cause_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "videos/a").mkdir(parents=True)
    (tmp_path / "videos/a/1.mp4").write_bytes(b"x")
    assert why_missing(tmp_path, ["videos/b/2.mp4"]) is None
