"""What was probed opens clips later: the same frames, without a listing, and nothing of a file that has changed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from torch import Tensor

from tests.helpers.official_sets import opened
from tests.helpers.video_files import write_images, write_manifest, write_video
from tinkit.data.clips.testing import TestClips
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.manifest.join import join
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import ClipProbe, HowToProbe, probe_clip
from tinkit.data.probe.known import KnownClips
from tinkit.data.probe.survey import SCHEMA, probes_file, read_probes, survey
from tinkit.files.arrow import sealed_writer
from tinkit.spread.spread import Spread

CLIP = ClipConfig(num_segments=4, size=32)
AGO = 1_700_000_000_123_456_789


def age(root: Path) -> None:
    """Files as they are some time after they were written."""
    for path in root.rglob("*"):
        os.utime(path, ns=(AGO, AGO))


def probed(manifest: Manifest) -> Manifest:
    def lost(path: str) -> ClipProbe:
        raise AssertionError(path)

    how = HowToProbe(str(manifest.root), manifest.media, manifest.frame_template)
    survey(manifest, how, lambda function: Spread(lambda: ThreadPoolExecutor(1), function, 1, lost))
    return manifest


def seen(manifest: Manifest) -> list[Tensor]:
    """All frames of training and testing."""
    train, test = TrainClips(manifest, CLIP, 1), TestClips(manifest, CLIP, ViewConfig(views="1x1", scale=32, crop=32))
    items = [*(train[0, row] for row in range(len(train))), *(test[row] for row in range(len(test)))]
    assert [item["reason"] for item in items if not item["valid"]] == []
    return [item["frames"] for item in items]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(bool((a == b).all()) for a, b in zip(one, other, strict=True))


@pytest.fixture
def folders(tmp_path: Path) -> Manifest:
    for number in range(3):
        write_images(tmp_path / f"c{number}", 9 + number, first=number % 2, seed=number)
    age(tmp_path)
    return write_manifest(tmp_path, [(f"c{n}", f"c{n}", "a") for n in range(3)], media="frames")


@pytest.fixture
def films(tmp_path: Path) -> Manifest:
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", g="9", bf="3", count=20 + number, seed=number)
    age(tmp_path)
    return write_manifest(tmp_path, [(f"{n}", f"{n}.mp4", "b") for n in range(3)])


def test_folders_that_were_probed_are_not_listed(folders: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seen(folders)
    probed(folders)
    with monkeypatch.context() as patched:
        patched.setattr("tinkit.data.decode.open_clip.find_numbers", None)  # whoever lists fails
        assert same(seen(folders), before)
    write_images(folders.root / "new", 4, seed=9)
    (folders.root / "new" / "00001.jpg").replace(folders.root / "c1" / "00011.jpg")
    assert KnownClips(folders).index(1, "c1") is None
    assert not same(seen(folders), before)


def test_videos_that_were_probed_are_the_same_and_changed_ones_are_counted_again(films: Manifest) -> None:
    before = seen(films)
    probed(films)
    assert all(KnownClips(films).index(row, f"{row}.mp4") is not None for row in range(3))
    assert same(seen(films), before)
    write_video(films.root / "1.mp4", g="5", count=31, seed=5)
    assert KnownClips(films).index(1, "1.mp4") is None
    changed = seen(films)
    assert same([changed[0], changed[2]], [before[0], before[2]])
    assert not same([changed[1]], [before[1]])
    os.utime(films.root / "2.mp4")  # touched alone: not the file that was probed, as far as anybody can tell
    assert KnownClips(films).index(2, "2.mp4") is None


def test_a_file_that_was_just_written_is_not_relied_on(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 3)
    here = HowToProbe(str(tmp_path), "frames", "{:05d}.jpg")
    os.utime(tmp_path / "a")
    assert probe_clip(here, "a").changed == 0
    os.utime(tmp_path / "a", ns=(AGO, AGO))
    assert probe_clip(here, "a").changed == AGO


def test_windows_of_one_video_and_joined_splits_find_their_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / name, 12, seed=len(name))
    age(tmp_path)
    (tmp_path / "category.txt").write_text("x\ny\n")
    keys = {"columns": "path start frames labels"}
    (tmp_path / "train.txt").write_text("a 0 5 0\na 5 7 1\nb 2 6 1\n")
    (tmp_path / "val.txt").write_text("b 9 3 0\n")
    train, val = (probed(opened("list", tmp_path, split, **keys)) for split in ("train", "val"))
    both = join([train, val])
    known = KnownClips(both)
    assert [known.index(row, both.row(row).path).frames for row in range(4)] == [12] * 4  # type: ignore[union-attr]
    probes_file(val.file).unlink()
    assert KnownClips(both).index(3, "b") is not None  # the other split has probed it
    probes_file(train.file).unlink()
    assert KnownClips(both).index(0, "a") is None


@pytest.mark.parametrize(
    "crafted",
    [
        {"frames": -1},
        {"frames": 2**31 - 1},
        {"times": [0]},
        {"times": [9, 3]},
        {"keyframes": [], "packets": []},
        {"keyframes": [5, 1], "packets": [7, 2]},
        {"keyframes": [0, 1], "packets": [0]},
        {"packets": [-4, 2**31 - 1, 0]},
        {"times": [-(2**63), 2**63 - 1]},
        {"frames": None},
        {"times": [None, 3]},
        {"keyframes": [0, None, 18]},
    ],
)
def test_crafted_probes_give_the_frames_of_the_file_or_a_broken_clip(
    films: Manifest, crafted: dict[str, object]
) -> None:
    truth = seen(films)
    table: list[dict[str, object]] = read_probes(probed(films)).to_pylist()
    table[1] |= crafted
    with sealed_writer(probes_file(films.file), SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(table, schema=SCHEMA))
    for row, item in enumerate(TrainClips(films, CLIP, 1)[0, row] for row in range(3)):
        assert same([item["frames"]], [truth[row]]) or (row == 1 and not item["valid"] and item["reason"])
