"""Videos that are damaged, or none at all: a broken clip with a reason, and what can still be read."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.kinds_of_video import write_kinds
from tests.helpers.video_files import decode_all, write_video
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip

DAMAGED = ("groups.mp4", "b_frames.avi", "vp9.webm", "transport.ts", "palette.gif", "full_chroma.mkv")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kinds(tmp_path_factory.mktemp("videos"), *DAMAGED, "one_group.mp4", "plain.avi")


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(DAMAGED),
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
