"""Lists for other kits: read back by tinkit's own layouts, and by what the kits' readers do with a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.helpers.video_files import write_images, write_video
from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.errors import UsageError, UserError

LENGTHS = {"one": 5, "two": 4, "three": 7, "four": 6}
LABELS = {"one": "a", "two": "c", "three": "b;c", "four": "a"}


def write_table(root: Path, split: str, names: list[str], labels: dict[str, str] | None, suffix: str) -> None:
    head = "id,path,labels\n" if labels else "id,path\n"
    rows = [f"{name}-id,clips/{name}{suffix}" + (f",{labels.get(name, 'b')}" if labels else "") for name in names]
    (root / f"{split}.csv").write_text(head + "\n".join(rows) + "\n")


def make_set(root: Path, media: str, *, several: bool = True) -> Path:
    """Four clips, one that cannot be read and one that is missing; a validation and an unlabelled test split."""
    (root / "clips").mkdir(parents=True)
    for name, count in LENGTHS.items():
        if media == "video":
            write_video(root / f"clips/{name}.mp4", count=count)
        else:
            write_images(root / f"clips/{name}", count)
    if media == "video":
        (root / "clips/broken.mp4").write_text("not a film")
    else:
        (root / "clips/broken").mkdir()
    labels = LABELS if several else LABELS | {"three": "b"}
    suffix = ".mp4" if media == "video" else ""
    write_table(root, "train", ["one", "broken", "two", "three", "gone"], labels, suffix)
    write_table(root, "val", ["four"], labels, suffix)
    write_table(root, "test", ["one"], None, suffix)
    (root / "classes.txt").write_text("a\nb\nc\n")
    return root


def run(root: Path, kit: str, *more: str, media: str = "video", task: str = "multi-label") -> Result:
    recipe = root.parent / "mine.toml"
    recipe.write_text(
        f'extends = "mmit_r50"\nname = "mine"\ndescription = "x"\n[data]\ndataset = "table"\n'
        f'name = "mine"\nmedia = "{media}"\ntask = "{task}"\n'
    )
    words = ["data", "export", str(recipe), "--data", str(root), "--format", kit, "--out", str(root / "lists")]
    return CliRunner().invoke(app, [*words, "--workers", "1", *more])


def seen(manifest: Manifest) -> list[tuple[str, list[str]]]:
    """Path and names of the labels of every clip: what does not depend on the form of the annotation."""
    return [(row["path"], [manifest.classes[label] for label in row["labels"]]) for row in manifest.table.to_pylist()]


@pytest.mark.parametrize("absolute", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    ("kit", "media", "more", "keys"),
    [
        ("tsn", "frames", [], {"dataset": "list", "media": "frames"}),
        ("tsn", "video", [], {"dataset": "list", "media": "video"}),
        ("mmaction2", "frames", [], {"dataset": "list", "media": "frames"}),
        ("mmaction2", "video", [], {"dataset": "list", "media": "video", "columns": "path labels"}),
        ("mmaction2", "video", ["--delimiter", ","], {"dataset": "list", "media": "video", "delimiter": ","}),
        ("pyslowfast", "video", [], {"dataset": "pyslowfast"}),
        ("pyslowfast", "video", ["--delimiter", ";"], {"dataset": "pyslowfast", "delimiter": ";"}),
    ],
)
def test_a_list_read_back_is_the_set_without_its_bad_clips(
    tmp_path: Path, kit: str, media: str, more: list[str], keys: dict[str, Any], absolute: bool
) -> None:
    several = kit != "pyslowfast"
    task = "multi-label" if several else "single-label"
    root = make_set(tmp_path / "films", media, several=several)
    if media == "video":  # what was probed is known without an opening
        prepared = ["data", "prepare", "table", "--data", str(root), "--max-bad", "9", "--workers", "1"]
        assert CliRunner().invoke(app, prepared).exit_code in (0, 1)
        prepared[2] = str(root.parent / "mine.toml")
    done = run(root, kit, *more, *(["--absolute"] if absolute else []), "--json", media=media, task=task)
    assert done.exit_code == 0, done.output
    train = json.loads(done.stdout)[0]
    own = {"root": root, "media": media, "task": task}
    if kit == "mmaction2" and media == "video":
        keys = keys | {"columns": "path labels"}
    suffix = {"tsn": "_videofolder.txt", "mmaction2": ".txt", "pyslowfast": ".csv"}[kit]
    classes = "lists/classes.txt" if kit == "pyslowfast" else "lists/category.txt"
    for split in ("train", "val"):
        before = seen(open_manifest(DataConfig.model_validate({"dataset": "table", **own}), split))
        config = own | keys | {split: f"lists/{split}{suffix}", "categories": classes, "min_frames": 1}
        after = open_manifest(DataConfig.model_validate(config), split)
        # without a probe, a list that holds no numbers of frames cannot know that a file is broken
        lost = {"clips/gone", "clips/gone.mp4"}
        if train["left out"] == 2:
            lost |= {"clips/broken", "clips/broken.mp4"}
        assert seen(after) == [row for row in before if row[0] not in lost]
        assert after.classes == ("a", "b", "c")
    assert train["why"]["missing"] == 1
    assert not (root / f"lists/test{suffix}").exists()


def test_lines_are_what_the_kits_cut_at_spaces(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "frames")
    assert run(root, "tsn", media="frames").exit_code == 0
    lines = (root / "lists/train_videofolder.txt").read_text()
    assert lines == "clips/one 5 0\nclips/two 4 2\nclips/three 7 1,2\n"
    done = run(root, "mmaction2", media="frames")
    assert done.exit_code == 0
    assert (root / "lists/train.txt").read_text() == "clips/one 5 0\nclips/two 4 2\nclips/three 7 1 2\n"
    assert "left out 2 clips (1 missing, 1 no frames), such as clips/broken" in done.stderr
    assert "multi_class = True" in done.stderr


def test_frames_are_counted_by_opening_and_again_when_a_clip_changes(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "video")
    assert run(root, "tsn").exit_code == 0
    write_video(root / "clips/one.mp4", count=11)
    assert run(root, "tsn", "--force").exit_code == 0
    assert (root / "lists/train_videofolder.txt").read_text().splitlines()[0] == "clips/one.mp4 11 0"


def test_clips_that_were_never_opened_are_said(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "video", several=False)
    done = run(root, "pyslowfast", task="single-label")
    assert done.exit_code == 0, done.output
    assert "train: 4 clips were not opened" in done.stderr
    assert (root / "lists/train.csv").read_text().splitlines()[1] == "clips/broken.mp4 1"


def segments(root: Path, kit: str, media: str, begins: int) -> Result:
    """Export a list of segments; one is longer than its video, and one begins behind its end."""
    (root / "own").mkdir()
    suffix = ".mp4" if media == "video" else ""
    rows = [f"clips/one{suffix} {begins} 3 0", f"clips/three{suffix} {begins} 90 1", f"clips/two{suffix} 4 3 2"]
    (root / "own/train.txt").write_text("\n".join(rows[: 3 if begins else 2]) + "\n")
    (root / "category.txt").write_text("a\nb\nc\n")
    recipe = root / "own.toml"
    recipe.write_text(
        'extends = "mmit_r50"\nname = "own"\ndescription = "x"\n[data]\ndataset = "list"\nname = "own"\n'
        f'media = "{media}"\ntask = "single-label"\ncolumns = "path start frames labels"\ntrain = "own/train.txt"\n'
    )
    words = ["data", "export", str(recipe), "--data", str(root), "--format", kit, "--out", str(root / "lists")]
    return CliRunner().invoke(app, [*words, "--workers", "1", "--split", "train"])


def test_segments_of_long_videos_where_a_list_can_hold_them(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "frames")
    done = segments(root, "mmaction2", "frames", 2)
    assert done.exit_code == 0, done.output
    assert (root / "lists/train.txt").read_text() == "clips/one 2 3 0\nclips/three 2 5 1\n"
    assert "with_offset = True" in done.stderr
    assert "1 begins after its video ends" in done.stderr


@pytest.mark.parametrize(
    ("kit", "media", "begins"),
    [("tsn", "frames", 2), ("mmaction2", "video", 2), ("pyslowfast", "video", 2), ("pyslowfast", "video", 0)],
)
def test_segments_are_refused_where_a_list_cannot_hold_them(tmp_path: Path, kit: str, media: str, begins: int) -> None:
    root = make_set(tmp_path / "films", media)
    done = segments(root, kit, media, begins)
    assert isinstance(done.exception, UserError)
    assert "segment" in str(done.exception)
    assert not (root / "lists").exists()


def test_a_segment_from_the_first_frame_on_is_held_by_its_number_of_frames(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "frames")
    assert segments(root, "tsn", "frames", 0).exit_code == 0
    assert (root / "lists/train_videofolder.txt").read_text() == "clips/one 3 0\nclips/three 7 1\n"


def test_paths_with_spaces_are_refused_or_separated_otherwise(tmp_path: Path) -> None:
    root = make_set(tmp_path / "my films", "video", several=False)
    assert run(root, "pyslowfast", task="single-label").exit_code == 0
    refused = run(root, "pyslowfast", "--absolute", "--force", task="single-label")
    assert isinstance(refused.exception, UserError)
    assert "holds a space" in str(refused.exception)
    assert "--delimiter" in str(refused.exception)
    done = run(root, "pyslowfast", "--absolute", "--force", "--delimiter", ",", task="single-label")
    assert done.exit_code == 0
    first = (root / "lists/train.csv").read_text().splitlines()[0]
    assert first.split(",") == [str(root / "clips/one.mp4"), "0"]


def test_unknown_labels_are_left_out_or_a_placeholder(tmp_path: Path) -> None:
    root = make_set(tmp_path / "films", "video")
    refused = run(root, "tsn", "--split", "test")
    assert isinstance(refused.exception, UserError)
    assert "--placeholder" in str(refused.exception)
    done = run(root, "tsn", "--split", "test", "--placeholder", "0")
    assert done.exit_code == 0, done.output
    assert (root / "lists/test_videofolder.txt").read_text() == "clips/one.mp4 5 0\n"


@pytest.mark.parametrize(
    ("kit", "media", "more", "error", "words"),
    [
        ("pyslowfast", "frames", [], UserError, "names videos"),
        ("pyslowfast", "video", [], UserError, "has 2 labels"),
        ("tsn", "video", ["--delimiter", ","], UsageError, "spaces only"),
        ("mmaction2", "video", ["--delimiter", "x"], UsageError, "--delimiter 'x'"),
        ("mmaction2", "video", ["--delimiter", ""], UsageError, "--delimiter ''"),
        ("mmaction2", "video", ["--split", "trainn"], UsageError, "trainn"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, kit: str, media: str, more: list[str], error: type[UserError], words: str
) -> None:
    root = make_set(tmp_path / "films", media)
    refused = run(root, kit, *more, media=media)
    assert type(refused.exception) is error
    assert words in str(refused.exception)
    assert not (root / "lists").exists()


def test_other_content_is_replaced_by_force_only_and_a_failure_leaves_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_set(tmp_path / "films", "video")
    assert run(root, "tsn").exit_code == 0
    assert run(root, "tsn").exit_code == 0  # the same again
    before = {file.name: file.read_bytes() for file in (root / "lists").iterdir() if file.suffix == ".txt"}
    refused = run(root, "tsn", "--absolute")
    assert isinstance(refused.exception, UserError)
    assert "exists already" in str(refused.exception)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinkit.files.group._bring", full)
    assert isinstance(run(root, "tsn", "--absolute", "--force").exception, UserError)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in (root / "lists").iterdir() if file.suffix == ".txt"} == before
    assert run(root, "tsn", "--absolute", "--force").exit_code == 0
    assert (root / "lists/val_videofolder.txt").read_text() == f"{root}/clips/four.mp4 6 0\n"
