"""Limits of what reading a clip may cost, recordings that were cut off, videos of several sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.faults import bomb_files
from benchmarks.faults.bombs import BOMBS
from benchmarks.faults.pixels import MEGABYTES, outcome_of_bomb
from tests.helpers.video_files import decode_all, write_images, write_manifest, write_video
from tinkit.data.clips.testing import TestClips
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, ViewConfig
from tinkit.data.decode import jpeg
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.errors import UserError

QUICK = (  # those that are made and read in a moment
    "gif, 8000x7999, one pixel drawn",
    "gif, 65500x65500",
    "gif, 1x65500",
    "jpeg, 65500x65500 in its header",
    "jpeg, 1000x1000 in 5000 scans",
    "png, 65500x65500",
    "png, a gigabyte of iCCP",
    "png, a chunk of 2 GB announced",
    "bmp, 65500x65500",
    "bmp, runs, 8000x7999",
    "ppm, 65500x65500",
    "tiff, 65500x65500",
    "webp, 65500x65500 in its header",
    "avi, motion jpeg, 65500x65500",
    "avi, motion jpeg, 1000x1000 in 5000 scans",
    "avi, four billion frames announced",
    "mp4, a billion samples announced",
    "mp4, four billion times announced",
    "mp4, four billion shifts announced",
    "mp4, a fragment of a billion",
    "webm, vp8, 16383x16383 in its frames",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_bomb_costs_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    BOMBS[name](path)
    outcome = outcome_of_bomb(name, path)
    assert outcome.survived, outcome
    assert outcome.megabytes is not None
    assert outcome.megabytes < MEGABYTES


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        ({"max_pixels": 95 * 64}, "data.max_pixels = 6,080"),
        ({"max_clip_pixels": 96 * 64 * 20}, "data.max_clip_pixels = 122,880"),
        ({"max_clip_seconds": 1e-9}, "data.max_clip_seconds = 1e-09"),
    ],
)
def test_a_reason_names_the_key_of_a_video(
    limit: dict[str, Any], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinkit.data.decode.settings._LOOK_PIXELS", 10_000)
    path = write_video(tmp_path / "a.mp4", g="250")
    with pytest.raises(BrokenClip) as caught, open_clip(path, "video", decoding=DecodeSettings(**limit)) as clip:
        clip.read([39])
    assert key in caught.value.reason
    with open_clip(path, "video", decoding=DecodeSettings(max_pixels=96 * 64, max_clip_pixels=96 * 64 * 41)) as clip:
        assert len(clip.read([39])) == 1


def test_a_reason_names_the_key_of_an_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 3, 512, 400)
    for limit in ({"max_clip_pixels": 512 * 400 * 2}, {"max_clip_seconds": 1e-9}, {"max_pixels": 512 * 400 - 1}):
        key = next(iter(limit))
        with (
            pytest.raises(BrokenClip, match=f"data.{key}"),
            open_clip(folder, "frames", decoding=DecodeSettings(**limit)) as c,
        ):
            c.read([0, 1, 2])
    (folder / "00001.jpg").write_bytes(bomb_files.many_scans(64, 64, 30))
    few = DecodeSettings(max_image_seconds=64 * 64 * 35 * jpeg.SCAN_SECONDS)
    with open_clip(folder, "frames", decoding=few) as clip, pytest.raises(BrokenClip, match=r"data\.max_image_seconds"):
        clip.read([0])
    (folder / "00001.jpg").write_bytes(bomb_files.many_scans(64, 64, 20))
    with open_clip(folder, "frames", decoding=few) as clip:
        assert clip.read([0])[0].shape == (64, 64, 3)


def test_scans_are_counted_as_they_stand(tmp_path: Path) -> None:
    plain, progressive = bomb_files.jpeg(64, 48), bomb_files.jpeg(64, 48, progressive=True)
    assert jpeg.count_scans(plain) == (1, False)
    count = progressive.count(b"\xff\xda")
    assert count > 5
    assert jpeg.count_scans(progressive) == (count, True)
    assert jpeg.count_scans(bomb_files.many_scans(64, 48, 100)) == (count + 99, True)
    hidden = plain[:2] + b"\xff\xe1" + (2 + len(progressive)).to_bytes(2, "big") + progressive + plain[2:]
    assert jpeg.count_scans(hidden) == (1, False)  # a thumbnail's scans are not the picture's


def test_a_broken_clip_of_a_data_set_names_the_key(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    manifest = write_manifest(tmp_path, [("a", "a.mp4", "a")], max_pixels="100")
    config = DataConfig(dataset="table", root=tmp_path, max_pixels=100)
    views = ViewConfig(scale=16, crop=16)
    item = TestClips(manifest, ClipConfig(num_segments=2, size=16), views, None, DecodeSettings.of(config))[0]
    assert item["broken"]
    assert "data.max_pixels = 100" in item["reason"]


CUT: dict[str, dict[str, Any]] = {
    "front.mp4": {"g": "12", "bf": "0", "container": {"movflags": "faststart"}},
    "b_frames.mp4": {"g": "12", "bf": "3", "container": {"movflags": "faststart"}},
    "fragments.mp4": {"g": "9", "bf": "2", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "plain.avi": {"codec": "mpeg4", "g": "9"},
    "guessed.avi": {"codec": "libx264", "g": "9", "bf": "3"},
    "plain.mkv": {"codec": "libx264", "g": "9", "bf": "3"},
}


@pytest.mark.parametrize("name", CUT)
def test_what_is_left_of_a_recording_is_read(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, **CUT[name])
    whole = decode_all(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    announced = name in ("front.mp4", "b_frames.mp4", "plain.avi", "guessed.avi")
    with open_clip(path, "video") as clip:
        assert clip.notes == {"cut off"}
        assert clip.num_frames == 40 if announced else 20 <= clip.num_frames < 40
        good = 0
        while good < clip.num_frames:
            try:
                assert np.array_equal(clip.read([good])[0], whole[good]), good
            except BrokenClip:
                break
            good += 1
        assert good > 6
        assert good < 40 if announced else good == clip.num_frames
        if announced:
            with pytest.raises(BrokenClip, match=r"truncated: .* bytes; frame 39 of 40 is missing"):
                clip.read([0, 39])
            assert np.array_equal(clip.read([0])[0], whole[0])


def joined(folder: Path, *sizes: tuple[int, int]) -> Path:
    """A transport stream of several videos, one after the other."""
    parts = [
        write_video(folder / f"{n}.ts", count=10, width=w, height=h, g="5", bf="0") for n, (w, h) in enumerate(sizes)
    ]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_a_video_of_several_sizes_has_the_first(tmp_path: Path) -> None:
    path = joined(tmp_path, (96, 64), (64, 48), (96, 64))
    with open_clip(path, "video") as clip:
        frames = clip.read(range(clip.num_frames))
        assert clip.notes == {"scaled to the first size"}
        alone = clip.read([15])[0]
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert np.array_equal(frames[15], alone)
    truth = decode_all(path)
    assert [np.array_equal(one, two) for one, two in zip(frames, truth, strict=True)] == [True] * 10 + [False] * 10 + [
        True
    ] * 10
    middle = np.asarray(av.VideoFrame.from_ndarray(truth[15]).reformat(96, 64, "rgb24").to_ndarray(), float)
    assert np.abs(frames[15] - middle).mean() < 6  # scaled, and not cut


def test_a_list_that_counts_more_images_than_there_are_is_said(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 5)
    with open_clip(folder, "frames", frames=9) as clip:
        assert clip.num_frames == 5
        assert clip.notes == {"fewer frames than listed"}
    with open_clip(folder, "frames", start=2, frames=3) as clip:
        assert clip.notes == set()


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.mp4", bomb_files.jpeg(8, 8), "a JPEG image.*mjpeg.*, not a video; read are mp4, mov"),
        ("a.png", bomb_files.png(8, 8), r"a PNG image.*apng.*, not a video"),
        ("a.webp", bomb_files.webp(8, 8), "a WebP image, not a video"),
        ("a.y4m", b"YUV4MPEG2 W8 H8 F25:1\nFRAME\n" + bytes(96), "a y4m stream, not a video"),
        ("a.mp4", b"<!DOCTYPE html><html>404</html>", "a web page, not a video"),
        ("a.mp4", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("a.mp4", bytes(5000), "begins with zeros"),
    ],
)
def test_what_is_not_a_video_is_named(name: str, data: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BrokenClip, match=what):
        open_clip(tmp_path / name, "video")


def test_a_clip_of_the_other_kind_is_said(tmp_path: Path) -> None:
    folder, file = write_images(tmp_path / "clip", 2), write_video(tmp_path / "a.mp4", count=2)
    with pytest.raises(BrokenClip, match=r"no such folder, but a file: .*data\.media = 'frames'.*data\.media_folder"):
        open_clip(file, "frames")
    with pytest.raises(BrokenClip, match=r"but a folder \(data\.media = 'frames'"):
        open_clip(folder, "video")


@pytest.mark.parametrize("template", ["{:0>9999999999}.jpg", "{:9999999999d}.jpg", "{:0300d}.jpg", "{0.x}.jpg", "{:q}"])
def test_a_template_of_absurd_names_is_refused_at_once(template: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frame_template"):
        DataConfig(dataset="sthv1", frame_template=template)
    with pytest.raises(UserError, match="frame_template"):
        open_clip(tmp_path, "frames", template)
    assert DataConfig(dataset="sthv1", frame_template="cam1000_{:05d}.jpg")
