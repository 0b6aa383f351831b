"""Real streams: files, an address, a pipe; whole, cut off, damaged, stalled, and faster than their reader."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.video_files import decode_all, write_video
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.stream.source import Shown, StreamSource
from tinkit.errors import UserError

USUAL = DecodeSettings()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 frames, three seconds."""
    return write_video(tmp_path_factory.mktemp("stream") / "clip.mkv", count=90, g="10")


def read(name: str | Path, stall: float = 20.0) -> tuple[list[Shown], StreamSource]:
    with StreamSource(str(name), stall, USUAL) as source:
        return list(source), source


def is_whole(frames: list[Shown], video: Path) -> None:
    for number, (frame, wanted) in enumerate(zip(frames, decode_all(video), strict=True)):
        assert frame.seconds == pytest.approx(number / 30, abs=1e-3)
        assert np.array_equal(frame.frame, wanted)


def test_a_file(video: Path) -> None:
    frames, source = read(video)
    is_whole(frames, video)
    assert source.rate == pytest.approx(30)
    assert (source.losses.dropped, source.losses.damaged, source.losses.gaps) == (0, 0, 0)


def test_an_address(video: Path) -> None:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(video.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        is_whole(read(f"http://127.0.0.1:{server.server_port}/{video.name}")[0], video)
    finally:
        server.shutdown()


@pytest.fixture
def stdin() -> Iterator[int]:
    """What to write to for standard input to read."""
    kept = os.dup(0)
    inner, outer = os.pipe()
    os.dup2(inner, 0)
    yield outer
    os.dup2(kept, 0)
    for number in (inner, kept):
        os.close(number)


def test_standard_input(video: Path, stdin: int) -> None:
    def feed() -> None:
        with os.fdopen(stdin, "wb") as pipe:
            pipe.write(video.read_bytes())

    threading.Thread(target=feed).start()
    is_whole(read("-")[0], video)


def test_a_stream_that_stalls(video: Path, stdin: int) -> None:
    os.write(stdin, video.read_bytes()[:30_000])
    seen: list[Shown] = []
    with StreamSource("-", 1.5, USUAL) as source, pytest.raises(UserError, match=r"no frame for 1\.5 s"):
        seen.extend(source)
    assert len(seen) > 10
    os.close(stdin)


def test_a_stream_that_ends_early(video: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.mkv"
    part.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    seen: list[Shown] = []
    with (
        StreamSource(str(part), 20, USUAL) as source,
        pytest.raises(UserError, match=r"broke after .* announces 3\.0 s"),
    ):
        seen.extend(source)
    assert 10 < len(seen) < 90


def test_damage_is_counted(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    for at in range(4000, len(data), 1500):
        data[at] ^= 0xFF
    hurt = tmp_path / "hurt.mkv"
    hurt.write_bytes(data)
    source = StreamSource(str(hurt), 20, USUAL)
    with source:
        try:
            count = len(list(source))
        except UserError:
            count = 90
    assert count < 90 or source.losses.damaged or source.losses.gaps


def test_gaps(tmp_path: Path) -> None:
    times = [*range(30), *range(90, 120), *range(240, 250)]
    file = write_video(tmp_path / "gaps.mkv", count=len(times), times=times)
    frames, source = read(file)
    assert len(frames) == 70
    assert source.losses.gaps == pytest.approx((61 + 121) / 30, abs=0.01)


def test_a_live_stream_drops_what_was_not_taken_in_time(video: Path) -> None:
    with StreamSource(str(video), 20, USUAL) as source:
        source.live = True
        times = []
        for shown in source:
            times.append(shown.seconds)
            time.sleep(0.02)
    assert times == sorted(times)
    assert len(times) + source.losses.dropped == 90
    assert source.losses.dropped > 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.mp4", "no such file"),
        ("97", "no camera /dev/video97"),
        ("a.txt", "cannot be watched"),
        ("e.mp4", "cannot be watched"),
    ],
)
def test_what_is_no_stream(name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("hello " * 100)
    Path("e.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=says):
        read(name)


def test_frames_of_too_many_pixels(video: Path) -> None:
    with (
        StreamSource(str(video), 20, DecodeSettings(max_pixels=64)) as source,
        pytest.raises(UserError, match="pixels"),
    ):
        list(source)
