"""Reading frames: real files against PyAV's own loop and Pillow, and everything that can be wrong with a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.video_files import decode_all, moving_pixels, write_images, write_video
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.video import VideoReader
from tinkit.errors import UserError

# name: codec and what is special about it
VIDEOS: dict[str, dict[str, Any]] = {
    "one_group.mp4": {"codec": "libx264", "g": "250"},
    "groups.mp4": {"codec": "libx264", "g": "9", "bf": "3"},
    "open_groups.mp4": {"codec": "libx264", "g": "9", "x264-params": "open-gop=1:scenecut=0"},
    "no_keyframes.mp4": {"codec": "libx264", "g": "15", "x264-params": "intra-refresh=1"},
    "hevc.mp4": {"codec": "libx265", "g": "9", "x265-params": "log-level=none:open-gop=1"},
    "ten_bits.mp4": {"codec": "libx264", "pixels": "yuv420p10le", "g": "9"},
    "grey.mp4": {"codec": "libx264", "pixels": "gray", "g": "9"},
    "variable_rate.mp4": {"codec": "libx264", "g": "9", "times": [i * i + i for i in range(40)]},
    "one_frame.mp4": {"codec": "libx264", "count": 1},
    "two_pixels.mp4": {"codec": "libx264", "count": 5, "width": 2, "height": 2},
    "plain.avi": {"codec": "mpeg4", "g": "9"},
    "b_frames.avi": {"codec": "mpeg4", "g": "9", "bf": "2"},
    "h264.avi": {"codec": "libx264", "g": "9", "bf": "3"},  # libav makes up wrong presentation times
    "motion_jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "count": 8},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "9", "deadline": "realtime", "cpu-used": "8"},
    "vp9_hidden.webm": {"codec": "libvpx-vp9", "lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "5"},
    "vp8.webm": {"codec": "libvpx", "g": "9", "lag-in-frames": "16", "auto-alt-ref": "1"},
    "alpha.webm": {"codec": "libvpx-vp9", "pixels": "yuva420p", "count": 12, "cpu-used": "8"},
    "odd_sides.webm": {"codec": "libvpx-vp9", "width": 97, "height": 63, "g": "9", "cpu-used": "8"},
    "sixteen_bits.mkv": {"codec": "ffv1", "pixels": "gray16le", "width": 33, "height": 17},
    "full_chroma.mkv": {"codec": "ffv1", "pixels": "yuv444p10le", "width": 33, "height": 17},
    "palette.gif": {"codec": "gif", "pixels": "rgb8", "width": 33, "height": 17, "count": 8},
    "transport.ts": {"codec": "libx264", "g": "9"},
    "programme.mpg": {"codec": "mpeg2video", "g": "9", "bf": "2"},
    "no_times.h264": {"codec": "libx264", "g": "9"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, options in VIDEOS.items():
        write_video(folder / name, **options)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kept_bytes", [1 << 26, 0], ids=["packets kept", "packets read again"])
@pytest.mark.parametrize("name", VIDEOS)
def test_any_frames_equal_those_of_decoding_all(videos: Path, name: str, kept_bytes: int) -> None:
    truth = decode_all(videos / name)
    rng = np.random.default_rng(len(name))
    with VideoReader(videos / name, kept_bytes=kept_bytes) as reader:
        assert reader.num_frames == len(truth)
        wanted = [rng.integers(len(truth), size=rng.integers(1, 9)).tolist() for _ in range(4)]
        for indices in (*wanted, [len(truth) - 1], [0], list(range(len(truth)))):
            for index, frame in zip(indices, reader.read(indices), strict=True):
                assert frame.dtype == np.uint8
                assert np.array_equal(frame, truth[index]), f"frame {index}"


def count_fed(reader: VideoReader, indices: list[int]) -> int:
    """How many packets are decoded for ``indices``."""
    fed = 0
    packets_from = reader._packets_from

    def counting(number: int) -> Any:
        nonlocal fed
        for packet in packets_from(number):
            fed += 1
            yield packet

    reader._packets_from = counting  # type: ignore[method-assign]
    reader.read(indices)
    return fed


def test_only_groups_of_pictures_that_hold_a_wanted_frame_are_decoded(videos: Path) -> None:
    with VideoReader(videos / "plain.avi") as reader:  # keyframes at 0, 9, 18, 27, 36; without B-frames no delay
        assert count_fed(reader, [1, 29]) == 2 + 3
    with VideoReader(videos / "plain.avi") as reader:
        assert count_fed(reader, [20, 22, 24]) == 7
    with VideoReader(videos / "vp9_hidden.webm") as reader:
        assert count_fed(reader, [4]) == 5


def cut_stream(source: Path, target: Path, *, drop: int = 0, shift: int = 0) -> Path:
    """Copy the packets of ``source`` but the first ``drop``, ``shift`` units earlier (an edit list hides those < 0)."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.pts is None or packet.dts is None or number < drop:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            new.mux(packet)
    return target


def test_frames_hidden_by_an_edit_list_are_not_counted(videos: Path, tmp_path: Path) -> None:
    path = cut_stream(videos / "groups.mp4", tmp_path / "cut.mp4", shift=512 * 13)
    truth, whole = decode_all(path), decode_all(videos / "groups.mp4")
    assert len(truth) == len(whole) - 13
    with VideoReader(path) as reader:
        assert reader.num_frames == len(truth)
        for index in (0, 5, 20, len(truth) - 1):
            assert np.array_equal(reader.read([index])[0], whole[13 + index])


def test_a_stream_cut_inside_a_group_begins_at_its_first_keyframe(videos: Path, tmp_path: Path) -> None:
    path = cut_stream(videos / "groups.mp4", tmp_path / "cut.mp4", drop=4)
    whole = decode_all(videos / "groups.mp4")
    with VideoReader(path) as reader:
        assert reader.num_frames == len(whole) - 9
        assert np.array_equal(reader.read([0])[0], whole[9])
        assert np.array_equal(reader.read([reader.num_frames - 1])[0], whole[-1])


def test_a_window_counts_from_its_start(videos: Path) -> None:
    truth = decode_all(videos / "groups.mp4")
    with open_clip(videos / "groups.mp4", "video", start=12, frames=10) as reader:
        assert reader.num_frames == 10
        assert np.array_equal(reader.read([9])[0], truth[21])
        with pytest.raises(IndexError):
            reader.read([10])
    with open_clip(videos / "groups.mp4", "video", start=12, frames=1000) as reader:
        assert reader.num_frames == len(truth) - 12  # as found, not as announced
    with pytest.raises(BrokenClip, match="40 frames found"):
        open_clip(videos / "groups.mp4", "video", start=40)


def test_frames_come_ascending_and_once_one_at_a_time(videos: Path) -> None:
    with open_clip(videos / "groups.mp4", "video") as reader:
        assert [index for index, _ in reader.frames([7, 3, 7, 30, 3])] == [3, 7, 30]
        again = reader.read([7, 3, 7])
    assert np.array_equal(again[0], again[2])
    assert not np.array_equal(again[0], again[1])


def test_a_frame_outside_the_clip_is_a_mistake_of_the_caller(videos: Path) -> None:
    with open_clip(videos / "groups.mp4", "video") as reader:
        for index in (-1, 40):
            with pytest.raises(IndexError, match="of a clip of 40"):
                reader.read([index])
        assert reader.read([]) == []


def mended(data: bytes, where: float, garbage: bytes) -> bytes:
    at = int(len(data) * where)
    return data[:at] + garbage + data[at + len(garbage) :]


def broken_file(kind: str, videos: Path, path: Path) -> Path:
    """A file that is broken in the way ``kind`` says."""
    whole = (videos / "one_group.mp4").read_bytes()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a video\n" * 50)
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(10000))
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "playlist":  # names another file, which is none of a clip's business
            path.write_text(
                f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{videos / 'transport.ts'}\n#EXT-X-ENDLIST\n"
            )
        case "script":
            path.write_text(f"ffconcat version 1.0\nfile {videos / 'one_group.mp4'}\n")
        case "sound":
            write_sound(path)
        case "head cut off":
            path.write_bytes(whole[2000:])
        case "tail cut off":
            path.write_bytes(whole[: len(whole) // 2])
        case "tail cut off, index in front":
            write_video(path, g="250", container={"movflags": "faststart"})
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        case "zeros in the middle":
            path.write_bytes(mended(whole, 0.4, bytes(len(whole) // 3)))
        case "noise in the middle":
            path.write_bytes(mended(whole, 0.4, np.random.default_rng(1).bytes(len(whole) // 3)))
        case "avi cut off":
            data = (videos / "plain.avi").read_bytes()
            path.write_bytes(data[: len(data) * 2 // 3])
        case _:
            raise AssertionError(kind)
    return path


def write_sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)


BROKEN = {
    "empty": "empty",
    "text": "Invalid data|not on|Error",
    "noise": ".",
    "folder": "no such file",
    "pipe": "no such file",
    "playlist": ".",
    "script": ".",
    "sound": "no video stream",
    "head cut off": ".",
    "tail cut off": "truncated: .* bytes",
    "tail cut off, index in front": "truncated: .* bytes",
    "zeros in the middle": ".",
    "noise in the middle": ".",
    "avi cut off": "truncated",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_video_is_a_broken_clip_with_a_reason(
    kind: str, videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = broken_file(kind, videos, tmp_path / "broken.mp4")
    with pytest.raises(BrokenClip, match=BROKEN[kind]) as caught, open_clip(path, "video") as reader:
        reader.read(range(reader.num_frames))
    assert caught.value.reason
    assert "\n" not in caught.value.reason
    assert capfd.readouterr() == ("", "")  # libav, too, keeps silent


@pytest.mark.parametrize("name", ["groups.mp4", "plain.avi", "vp9.webm"])
def test_bytes_after_the_end_of_a_video_do_no_harm(videos: Path, tmp_path: Path, name: str) -> None:
    truth = decode_all(videos / name)
    for appended in (b"\0" * 100, b"TAG appended by someone", b"x"):
        path = tmp_path / name
        path.write_bytes((videos / name).read_bytes() + appended)
        with open_clip(path, "video") as reader:
            assert reader.num_frames == len(truth)
            assert np.array_equal(reader.read([len(truth) - 1])[0], truth[-1])


def test_frames_before_the_damage_can_be_read(videos: Path, tmp_path: Path) -> None:
    data = (videos / "plain.avi").read_bytes()
    path = tmp_path / "damaged.avi"
    path.write_bytes(mended(data, 0.7, bytes(len(data) // 8)))
    truth = decode_all(videos / "plain.avi")
    with open_clip(path, "video") as reader:
        assert np.array_equal(reader.read([5])[0], truth[5])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["groups.mp4", "b_frames.avi", "vp9.webm", "transport.ts", "palette.gif", "full_chroma.mkv"]),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damaged_bytes_raise_nothing_but_broken_clip(
    videos: Path, tmp_path: Path, name: str, places: list[tuple[float, int]]
) -> None:
    data = bytearray((videos / name).read_bytes())
    for where, value in places:
        data[int(where * len(data))] = value
    path = tmp_path / name
    path.write_bytes(data)
    found, reason = [], ""
    try:
        with open_clip(path, "video") as reader:
            found = reader.read(range(min(reader.num_frames, 50)))
    except BrokenClip as error:
        reason = error.reason
    assert bool(found) != bool(reason)
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 for frame in found)


def test_absurd_sizes_are_refused_before_they_are_decoded(videos: Path, tmp_path: Path) -> None:
    small, enough = DecodeSettings(max_pixels=96 * 64 - 1), DecodeSettings(max_pixels=96 * 64)
    with pytest.raises(BrokenClip, match=r"96x64 pixels, more than data\.max_pixels = 6,143"):
        open_clip(videos / "groups.mp4", "video", decoding=small)
    folder = write_images(tmp_path / "images", 2, 96, 64)
    with pytest.raises(BrokenClip, match=r"00001\.jpg: frames of 96x64 pixels, more than data\.max_pixels"):
        open_clip(folder, "frames", decoding=small).read([0])
    assert len(open_clip(folder, "frames", decoding=enough).read([0, 1])) == 2
    with open_clip(videos / "groups.mp4", "video", decoding=enough) as clip:
        assert len(clip.read([0, 1])) == 2


def test_more_frames_than_can_be_are_refused(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.decode.containers.MAX_FRAMES", 39)
    with pytest.raises(BrokenClip, match="frames, more than 39"):
        open_clip(videos / "groups.mp4", "video")


def test_names_that_look_like_protocols_or_are_no_text_are_files(videos: Path, tmp_path: Path) -> None:
    truth = decode_all(videos / "one_frame.mp4")
    for name in ("concat:a|b.mp4", "http:x.mp4", "%05d.mp4", "ünïcode 'quoted'.mp4", "#?&.mp4"):
        shutil.copy(videos / "one_frame.mp4", tmp_path / name)
        with open_clip(tmp_path / name, "video") as reader:
            assert np.array_equal(reader.read([0])[0], truth[0])


def test_no_file_stays_open(videos: Path, tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        with open_clip(videos / "groups.mp4", "video") as reader:
            reader.read([1, 30])
        with pytest.raises(BrokenClip):
            open_clip(videos / "groups.mp4", "video", start=1000)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_images_equal_those_of_pillow(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 7)
    with open_clip(folder, "frames", "{:05d}.jpg") as reader:
        assert reader.num_frames == 7
        for index, frame in zip([6, 0, 6], reader.read([6, 0, 6]), strict=True):
            with Image.open(folder / f"{index + 1:05d}.jpg") as image:
                assert np.array_equal(frame, np.asarray(image))


@pytest.mark.parametrize("first", [0, 1])
def test_images_count_from_zero_or_one_and_other_files_do_not_count(tmp_path: Path, first: int) -> None:
    folder = write_images(tmp_path / "clip", 4, first=first)
    for name in ("00001.png", "1.jpg", "000003.jpg", "thumb.jpg", "00009.jpg.part", ".00005.jpg"):
        (folder / name).write_bytes(b"x")
    with open_clip(folder, "frames", "{:05d}.jpg", start=1, frames=2) as reader:
        assert reader.num_frames == 2
        with Image.open(folder / f"{first + 2:05d}.jpg") as image:
            assert np.array_equal(reader.read([1])[0], np.asarray(image))


@pytest.mark.parametrize(("missing", "named"), [(3, "00003.jpg"), (1, "00001.jpg")])
def test_a_gap_in_the_numbers_is_a_broken_clip(tmp_path: Path, missing: int, named: str) -> None:
    folder = write_images(tmp_path / "clip", 5)
    (folder / f"{missing:05d}.jpg").unlink()
    with pytest.raises(BrokenClip, match=f"frame {named} is missing"):
        open_clip(folder, "frames")


def test_a_folder_without_frames_is_a_broken_clip(tmp_path: Path) -> None:
    with pytest.raises(BrokenClip, match="no such folder"):
        open_clip(tmp_path / "absent", "frames")
    with pytest.raises(BrokenClip, match=r"named like \{:05d\}.jpg"):
        open_clip(tmp_path, "frames")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_images_of_any_colour_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(moving_pixels(1, 33, 17)[0]).convert(mode)
    image.save(tmp_path / "00001.jpg", quality=95)
    (found,) = open_clip(tmp_path, "frames").read([0])
    with Image.open(tmp_path / "00001.jpg") as truth:
        assert np.array_equal(found, np.asarray(truth.convert("RGB")))
    assert found.shape == (17, 33, 3)


def test_other_image_formats_are_read_by_pillow(tmp_path: Path) -> None:
    (pixels,) = moving_pixels(1, 33, 17)
    Image.fromarray(pixels).save(tmp_path / "img_000001.png")
    (found,) = open_clip(tmp_path, "frames", "img_{:06d}.png").read([0])
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("kind", ["empty", "text", "cut off", "noise", "folder"])
def test_a_broken_image_is_a_broken_clip_that_names_it(tmp_path: Path, kind: str) -> None:
    folder = write_images(tmp_path / "clip", 3)
    path = folder / "00002.jpg"
    data = path.read_bytes()
    path.unlink()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("no image")
        case "cut off":
            path.write_bytes(data[: len(data) // 2])
        case "noise":
            path.write_bytes(data[:2] + np.random.default_rng(0).bytes(500))
        case "folder":
            path.mkdir()
    reader = open_clip(folder, "frames")
    assert len(reader.read([0, 2])) == 2
    with pytest.raises(BrokenClip, match=r"00002\.jpg: ."):
        reader.read([0, 1, 2])


def test_a_jpeg_with_a_harmless_fault_is_read(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", 1)
    path = folder / "00001.jpg"
    data = path.read_bytes()
    (truth,) = open_clip(folder, "frames").read([0])
    path.write_bytes(data[:-2] + bytes(4) + data[-2:])  # extraneous bytes before the end marker
    with pytest.raises(ValueError, match="xtraneous"):
        simplejpeg.decode_jpeg(path.read_bytes())
    assert np.array_equal(open_clip(folder, "frames").read([0])[0], truth)


@pytest.mark.parametrize("template", ["frame.jpg", "../{:05d}.jpg", "{:05d}/{:05d}.jpg", "{0}{1}.jpg", "a\\{:05d}.jpg"])
def test_a_template_that_names_no_images_is_the_users_mistake(tmp_path: Path, template: str) -> None:
    with pytest.raises(UserError, match="frame_template"):
        open_clip(tmp_path, "frames", template)


def test_images_are_read_without_loading_libav() -> None:
    code = "import sys, tinkit.data.decode.open_clip; sys.exit('av' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
