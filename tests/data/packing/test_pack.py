"""Frames packed: read by tar, WebDataset and tinkit to the same pixels; resumed, shared, updated, verified."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.packed_clips import HERE, IDS, PLAIN, frames_of, pack, packed, place
from tests.helpers.video_files import decode_all, write_images, write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.data.packed.index import PackSettings, SplitIndex
from tinkit.data.packing import pack as pack_module
from tinkit.data.packing.parts import pack_sources
from tinkit.data.packing.verify import verify_split
from tinkit.errors import UserError
from tinkit.files.arrow import open_arrow
from tinkit.files.locks import writing
from tinkit.spread.engine import Share


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def as_packed(frame: np.ndarray) -> np.ndarray:
    """What should be read of a frame."""
    small = np.asarray(Image.fromarray(frame).resize((72, 48), Image.Resampling.BILINEAR))
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(small, 90, colorspace="RGB", colorsubsampling="420"))


def test_what_is_packed_is_what_was_decoded(manifest: Manifest) -> None:
    """96x64 becomes 72x48, by Pillow's filter, and a JPEG of quality 90."""
    outcome = pack(manifest)
    assert (outcome.packed, outcome.fresh) == (len(IDS), len(IDS) + 2)
    assert set(outcome.broken) == {"broken", "gone"}
    assert len(outcome.shards) > 1
    assert all(shard.size <= 60_000 for shard in outcome.shards)
    for number, clip_id in enumerate(IDS):
        found = frames_of(manifest, clip_id)
        truth = decode_all(manifest.root / f"{number}.mp4")
        assert len(found) == len(truth) == 4 + number
        for one, other in zip(found, truth, strict=True):
            assert np.array_equal(one, as_packed(other))
    with pytest.raises(BrokenClip, match="when it was packed"):
        packed(manifest).open("broken", 0, None, PLAIN)
    with pytest.raises(BrokenClip, match="not among the packed"):
        packed(manifest).open("another", 0, None, PLAIN)
    with pytest.raises(BrokenClip, match="another first frame"):
        packed(manifest).open("a", 1, None, PLAIN)
    assert verify_split(manifest, place(manifest.root), HERE) == []


def test_tar_reads_a_sample_a_clip(manifest: Manifest, tmp_path: Path) -> None:
    """Members of a clip follow one another, count from 1, and their key is what stands before the first dot."""
    pack(manifest)
    keys: list[str] = []
    index = SplitIndex(open_arrow(manifest.root / "packed" / "train.arrow"))
    ids = {row["key"]: row["id"] for row in index.table.to_pylist()}
    for shard in sorted((manifest.root / "packed").glob("*.tar")):
        with tarfile.open(shard) as tar:
            last, number = "", 0
            for member in tar:
                key, _, rest = member.name.partition(".")
                number = 1 if key != last else number + 1
                assert rest == f"{number:05d}.jpg"
                assert "/" not in member.name
                if key != last:
                    keys.append(key)
                    last = key
                data = tar.extractfile(member)
                assert data is not None
                pixels = np.asarray(Image.open(io.BytesIO(data.read())))
                if number == 2:
                    assert np.array_equal(frames_of(manifest, ids[key])[1], pixels)
            tar.extractall(tmp_path / "out", filter="data")
    assert [ids[key] for key in keys] == list(IDS)
    assert len(list((tmp_path / "out").iterdir())) == sum(range(4, 4 + len(IDS)))


def test_webdataset_reads_the_shards(manifest: Manifest) -> None:
    webdataset = pytest.importorskip("webdataset")
    pack(manifest)
    shards = sorted(str(path) for path in (manifest.root / "packed").glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    index = SplitIndex(open_arrow(manifest.root / "packed" / "train.arrow"))
    ids = {row["key"]: row["id"] for row in index.table.to_pylist()}
    assert [ids[sample["__key__"]] for sample in samples] == list(IDS)
    assert [sum(name.endswith(".jpg") for name in sample) for sample in samples] == [4, 5, 6, 7, 8, 9]


def test_two_shares_joined_are_the_same_bytes(manifest: Manifest) -> None:
    pack(manifest)
    whole = bytes_of(manifest.root / "packed")
    shutil.rmtree(manifest.root / "packed")
    assert pack(manifest, Share(2, 2)) is None
    assert not (manifest.root / "packed" / "train.arrow").exists()
    with writing(place(manifest.root).work / "2-of-2"), pytest.raises(UserError, match="part 2 of 2 of train is still"):
        pack(manifest)
    outcome = pack(manifest)  # without the other share: what is missing is packed here
    assert outcome.fresh == 4
    assert bytes_of(manifest.root / "packed") == whole
    assert not place(manifest.root).work.exists()


def test_a_run_that_was_interrupted_continues(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(manifest)
    whole = bytes_of(manifest.root / "packed")
    shutil.rmtree(manifest.root / "packed")
    monkeypatch.setattr(pack_module, "_CLIPS_A_TASK", 1)
    calls: list[str] = []

    def stopping(how: Any, sources: Any) -> Any:
        calls.extend(source.path for source in sources)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return pack_sources(how, sources)

    monkeypatch.setattr(pack_module, "pack_sources", stopping)
    with pytest.raises(KeyboardInterrupt):
        pack(manifest)
    (place(manifest.root).work / "1-of-1.0123456789abcdef.tar").write_bytes(b"half")
    pack(manifest)
    assert len(calls) <= len(IDS) + 2 + 2  # the one that was interrupted, and one that had begun behind it
    assert bytes_of(manifest.root / "packed") == whole


def test_only_what_has_changed_is_packed_again(manifest: Manifest) -> None:
    pack(manifest)
    folder = manifest.root / "packed"
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")}
    os.utime(manifest.root / "0.mp4")  # the same bytes at another time
    assert pack(manifest).fresh == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tar")} == before
    write_video(manifest.root / "1.mp4", count=3, seed=77)
    write_video(manifest.root / "gone.mp4", count=2, seed=78)
    outcome = pack(manifest)
    assert outcome.fresh == 2
    assert (outcome.packed, set(outcome.broken)) == (len(IDS) + 1, {"broken"})
    assert len(frames_of(manifest, IDS[1])) == 3
    assert len(frames_of(manifest, "gone")) == 2
    names = sorted(path.name for path in folder.glob("*.tar"))
    assert names == [f"train-{number:06d}.tar" for number in range(len(names))]
    assert sum(folder.joinpath(name).stat().st_mtime_ns == time for name, time in before.items()) > 0
    assert verify_split(manifest, place(manifest.root), HERE) == []


def test_clips_that_left_the_annotation_leave_the_shards(manifest: Manifest) -> None:
    pack(manifest)
    fewer = write_manifest(manifest.root, [("a", "0.mp4", "a")])
    faults = verify_split(fewer, place(manifest.root), HERE)
    assert {fault.problem for fault in faults} == {"not in the annotation any more"}
    outcome = pack(fewer)
    assert (outcome.packed, outcome.fresh, len(outcome.shards)) == (1, 0, 1)
    assert len(list((manifest.root / "packed").glob("*.tar"))) == 1
    assert verify_split(fewer, place(manifest.root), HERE) == []


def test_segments_of_a_long_video(tmp_path: Path) -> None:
    """Windows that overlap, one that is longer than what there is, one that begins behind the end."""
    write_video(tmp_path / "long.mp4", count=30)
    (tmp_path / "train.txt").write_text("long.mp4 0 10 0\nlong.mp4 5 20 0\nlong.mp4 25 20 0\nlong.mp4 40 3 0\n")
    (tmp_path / "category.txt").write_text("a\n")
    config = DataConfig(dataset="list", root=tmp_path, media="video", columns="path start frames labels")
    manifest = open_manifest(config, "train")
    outcome = pack(manifest)
    assert (outcome.packed, len(outcome.broken)) == (3, 1)
    truth = decode_all(tmp_path / "long.mp4")
    for row, (start, count) in zip(range(3), ((0, 10), (5, 20), (25, 5)), strict=True):
        clip = manifest.row(row)
        with packed(manifest).open(clip.id, clip.start, clip.frames, PLAIN) as reader:
            found = reader.read(range(reader.num_frames))
            assert ("fewer frames than listed" in reader.notes) == (row == 2)
        assert len(found) == count
        assert np.array_equal(found[0], as_packed(truth[start]))
        assert np.array_equal(found[-1], as_packed(truth[start + count - 1]))


def test_images_of_the_right_size_are_kept_as_they_are(tmp_path: Path) -> None:
    write_images(tmp_path / "one", 3, width=60, height=40)
    write_images(tmp_path / "two", 3, width=60, height=40)
    (tmp_path / "two" / "00002.jpg").write_bytes(b"\xff\xd8 not a picture")
    manifest = write_manifest(tmp_path, [("one", "one", "a"), ("two", "two", "a")], media="frames")
    outcome = pack(manifest)
    assert set(outcome.broken) == {"two"}
    with tarfile.open(tmp_path / "packed" / "train-000000.tar") as tar:
        for number in (1, 2, 3):
            data = tar.extractfile(f"one.{number:05d}.jpg")
            assert data is not None
            assert data.read() == (tmp_path / "one" / f"{number:05d}.jpg").read_bytes()


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (PackSettings(pixels=32), (48, 32)),
        (PackSettings(pixels=128), (96, 64)),
        (PackSettings(pixels=128, enlarge=True), (192, 128)),
        (PackSettings(pixels=32, side="height"), (48, 32)),
    ],
)
def test_sizes(manifest: Manifest, settings: PackSettings, size: tuple[int, int]) -> None:
    pack(manifest.head(1), settings=settings)
    assert frames_of(manifest, "a")[0].shape == (size[1], size[0], 3)


def test_two_ways_of_packing_are_not_mixed(manifest: Manifest) -> None:
    pack(manifest)
    with pytest.raises(UserError, match="pixels 48, not 32"):
        pack(manifest, settings=PackSettings(pixels=32))


def run(manifest: Manifest, *words: str) -> Any:
    base = ["data", "frames", "table", "--data", str(manifest.root), "--split", "train", "--workers", "0"]
    return CliRunner().invoke(app, [*base, *words])


def test_the_command(manifest: Manifest) -> None:
    done = run(manifest, "--pixels", "48", "--shard-size", "60KB", "--json")
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["done"][0]["clips"] == len(IDS)
    assert set(values["broken"]) == {"train: broken", "train: gone"}
    assert run(manifest, "--pixels", "48", "--verify").exit_code == 0
    (manifest.root / "packed" / "train-000001.tar").unlink()
    refused = run(manifest, "--pixels", "48", "--verify")
    assert isinstance(refused.exception, UserError)
    for odd in (["--shard-size", "much"], ["--shard-size", "1KB"], ["--shard", "3/2"], ["--loose", "--verify"]):
        assert run(manifest, *odd).exception.exit_code == 2
