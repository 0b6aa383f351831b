"""A stream that libav has not decoded the beginning of: what is known of it, and when it is decoded after all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.helpers.kinds_of_video import VIDEOS, write_kinds
from tests.helpers.video_files import decode_all
from tinkit.data.decode import libav
from tinkit.data.decode.clip_reader import ClipFacts
from tinkit.data.decode.video import VideoReader

TOLD = {name for name in VIDEOS if name.endswith((".mp4", ".webm"))}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_kinds(tmp_path_factory.mktemp("videos"))
    remuxed(folder / "groups.mp4", folder / "fragments.mp4", {"movflags": "frag_keyframe+empty_moov"})
    remuxed(folder / "groups.mp4", folder / "groups.mkv")
    remuxed(folder / "vp9.webm", folder / "live.webm", {"live": "1"}, rate=False)
    remuxed(folder / "groups.mp4", folder / "silent.mp4", silent=True)
    remuxed(folder / "groups.mp4", folder / "ordered.mp4", silent=True, ordered=True)
    return folder


def remuxed(
    source: Path,
    target: Path,
    options: dict[str, str] | None = None,
    *,
    rate: bool = True,
    silent: bool = False,
    ordered: bool = False,
) -> None:
    """The packets of ``source`` in another container: without its rate; silent about how many frames are reordered;
    with times as if none was."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        stream: Any = new.add_stream_from_template(old.streams.video[0])
        if not rate:
            stream.time_base = old.streams.video[0].time_base
        if silent:
            stream.codec_context.extradata = without_usability(stream.codec_context.extradata)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.pts = packet.dts if ordered else packet.pts
                packet.stream = stream
                new.mux(packet)


def without_usability(config: bytes) -> bytes:
    """An avcC box whose first parameter set has lost its last part (VUI), which says how many frames are reordered."""
    length = int.from_bytes(config[6:8], "big")
    raw = config[8 : 8 + length].replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in raw)
    at = 32  # behind the unit's header, profile and level

    def number() -> int:
        nonlocal at
        zeros = bits.index("1", at) - at
        at += 2 * zeros + 1
        return int(bits[at - zeros - 1 : at], 2) - 1

    assert raw[1] == 100  # High
    assert [number() for _ in range(4)] == [0, 1, 0, 0]  # of 4:2:0 and 8 bits
    at += 2
    number()
    assert number() == 0  # the kind of picture order count
    number(), number()
    at += 1
    number(), number()
    assert bits[at : at + 3] == "110"  # frames, no cropping
    bits = bits[: at + 3] + "01"  # no VUI, and the end
    bits += "0" * (-len(bits) % 8)
    short = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    assert b"\0\0" not in short
    return config[:6] + len(short).to_bytes(2, "big") + short + config[8 + length :]


def known(path: Path) -> tuple[ClipFacts, int, dict[int | None, int] | None, list[int], list[int]]:
    with VideoReader(path) as reader:
        return reader.facts(), reader.num_frames, reader._rank, reader._starts, reader._keys


@pytest.mark.parametrize("name", [*VIDEOS, "fragments.mp4", "groups.mkv", "live.webm", "silent.mp4", "ordered.mp4"])
def test_all_that_is_known_is_what_probing_tells(videos: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = known(videos / name)
    monkeypatch.setattr(libav, "_TOLD", {})
    assert found == known(videos / name)


@pytest.mark.parametrize("name", [*VIDEOS, "groups.mkv"])
def test_only_what_the_container_tells_is_not_probed(videos: Path, name: str) -> None:
    with VideoReader(videos / name) as reader:
        assert reader._file.probed == (name not in TOLD)


@pytest.mark.parametrize("name", ["fragments.mp4", "groups.mkv", "live.webm", "silent.mp4"])
def test_frames_of_the_same_packets_in_another_container(videos: Path, name: str) -> None:
    truth = decode_all(videos / name)
    with VideoReader(videos / name) as reader:
        assert reader.num_frames == len(truth)
        for index in (len(truth) - 1, 0, 13):
            assert np.array_equal(reader.read([index])[0], truth[index])


def test_a_frame_that_an_unprobed_decoder_leaves_out_is_looked_for_again(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-frames whose times say that nothing is reordered: what comes out is what a probed decoder gives."""
    names = list(range(VIDEOS["groups.mp4"].get("count", 40)))

    def frames() -> list[object]:
        found: list[object] = []
        with VideoReader(videos / "ordered.mp4") as reader:
            for index in names:
                try:
                    found.append(reader.read([index])[0].tobytes())
                except Exception as error:
                    found.append(str(error))
        return found

    unprobed = frames()
    monkeypatch.setattr(libav, "_TOLD", {})
    assert unprobed == frames()
    assert sum(isinstance(frame, bytes) for frame in unprobed) > 20
