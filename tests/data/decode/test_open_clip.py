"""Reading frames of videos: real files of every kind against PyAV's own loop, windows, names and limits."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.helpers.kinds_of_video import VIDEOS, write_kinds
from tests.helpers.video_files import decode_all, write_images, write_video
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.video import VideoReader


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kinds(tmp_path_factory.mktemp("videos"))


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


@pytest.mark.slow
@pytest.mark.parametrize("near", [64, 0], ids=["packets passed over", "jumped"])
@pytest.mark.parametrize("name", VIDEOS)
def test_frames_by_an_index_are_the_same(videos: Path, name: str, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.decode.indexed_video._NEAR", near)
    truth = decode_all(videos / name)
    with VideoReader(videos / name) as counted:
        index = counted.index()
    assert (index is not None) == (name not in ("h264.avi", "no_times.h264"))  # whose packets do not tell the order
    rng = np.random.default_rng(len(name))
    with open_clip(videos / name, "video", index=index) as reader:
        assert reader.num_frames == len(truth)
        for size in (1, 3, 8, len(truth)):
            indices = rng.integers(len(truth), size=size).tolist()
            for at, frame in zip(indices, reader.read(indices), strict=True):
                assert np.array_equal(frame, truth[at]), f"frame {at}"


def test_an_index_spares_the_packets_before_and_behind(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.decode.indexed_video._NEAR", 0)
    truth = decode_all(videos / "groups.mp4")
    with VideoReader(videos / "groups.mp4") as counted:
        index = counted.index()
    with open_clip(videos / "groups.mp4", "video", index=index) as reader:
        assert np.array_equal(reader.read([29])[0], truth[29])
        assert 27 < reader._read < 36  # type: ignore[attr-defined]  # the group from 27 on, and not all of it


def test_an_index_of_another_file_gives_no_wrong_frame(videos: Path, tmp_path: Path) -> None:
    """Not even where a file was replaced in a way that its size and time do not show."""
    with VideoReader(videos / "groups.mp4") as counted:
        index = counted.index()
    other = write_video(tmp_path / "other.mp4", g="5", bf="3", count=33, seed=1)
    truth = decode_all(other)
    with open_clip(other, "video", index=index) as reader:
        for at in (30, 12, 0):
            with suppress(BrokenClip):
                assert np.array_equal(reader.read([at])[0], truth[at])


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


def packets_to(path: Path, index: int) -> int:
    """How many packets lead from the keyframe before it to the frame ``index``, both counted, in closed groups."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    order = sorted(packet.pts for packet in packets)
    at = next(number for number, packet in enumerate(packets) if packet.pts == order[index])
    return at - max(number for number in range(at + 1) if packets[number].is_keyframe) + 1


@pytest.mark.parametrize("indices", [[4], [4, 20], [3, 5, 11, 30], [12, 13, 35]])
def test_no_group_is_decoded_behind_the_last_of_its_frames(videos: Path, indices: list[int]) -> None:
    """A decoder that reorders frames holds some back, and must not be fed others to give them."""
    path = videos / "groups.mp4"  # nine frames each, with B-frames
    groups = [[index for index in indices if index // 9 == group] for group in {index // 9 for index in indices}]
    wanted = sum(max(packets_to(path, index) for index in group) for group in groups)
    with VideoReader(path) as reader:
        assert count_fed(reader, indices) == wanted
    truth = decode_all(path)
    with VideoReader(path) as reader:
        for index, part in reader.parts(indices, lambda width, height: (5, 3, width - 9, height - 8)):
            assert np.array_equal(part, truth[index][3:-5, 5:-4])


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
