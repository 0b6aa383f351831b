"""The sound of files against the tones that were put into them: rates, channels, times, parts, and what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.sound_files import FPS, pitch_of, steps, write_sound
from tinkit.data.decode.clip_reader import BrokenClip, NoSound
from tinkit.data.sound.reader import SoundReader

RATE = 16_000


def chirp(seconds: np.ndarray) -> np.ndarray:
    """From 300 Hz upwards: every place of it is unlike all others."""
    return 0.5 * np.sin(2 * np.pi * (300 * seconds + 150 * seconds**2))


CLOCK = np.linspace(-0.001, 0.001, 41)  # Matroska's times are whole milliseconds

# name, codec, rate, layout, channels, mean error: what the codec loses
KINDS = [
    ("a.avi", "pcm_s16le", 22_050, "mono", 1, 1e-3),
    ("b.wav", "pcm_u8", 8_000, "mono", 1, 2e-2),
    ("c.wav", "pcm_s32le", 11_025, "stereo", 2, 1e-3),
    ("d.mkv", "flac", 96_000, "stereo", 2, 1e-3),
    ("e.mkv", "flac", 48_000, "5.1", 6, 1e-3),
    ("f.mp4", "aac", 44_100, "stereo", 2, 0.03),
    ("g.mkv", "libopus", 48_000, "mono", 1, 0.03),
    ("h.mkv", "ac3", 48_000, "5.1", 6, 0.15),
]


@pytest.mark.parametrize(("name", "codec", "rate", "layout", "channels", "error"), KINDS)
def test_windows_are_the_mean_of_the_channels_at_their_times(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str, channels: int, error: float
) -> None:
    time = np.arange(2 * rate) / rate
    share = np.linspace(0.4, 1.6, channels) if channels > 1 else np.ones(1)
    waves = share[:, None] * chirp(time) * 0.6
    path = write_sound(
        tmp_path / name, waves.astype(np.float32), rate, codec, layout, frames=0 if ".wav" in name else 50
    )
    with SoundReader(path) as reader:
        assert reader.seconds == pytest.approx(2.0, abs=0.05)
        found = reader.read([1.0, 0.25], 8000, RATE)
    assert found.shape == (2, 8000)
    assert found.dtype == np.float32
    for wave, start in zip(found, (1.0, 0.25), strict=True):
        off = [np.std((wave - 0.6 * chirp(start + late + np.arange(8000) / RATE))[80:-80]) for late in CLOCK]
        assert min(off) < error, (start, off)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("b.mkv", "flac"), ("c.avi", "pcm_s16le"), ("d.ts", "mp2")]
)
def test_a_part_of_a_long_video_is_heard_when_it_is_seen(tmp_path: Path, name: str, codec: str) -> None:
    path = write_sound(
        tmp_path / name, steps(30, RATE), RATE, codec, frames=30 * FPS, video="mpeg2video" if ".ts" in name else "mpeg4"
    )
    for second in (0, 3, 21):
        with SoundReader(path, second * FPS, 2 * FPS) as reader:
            assert reader.seconds == pytest.approx(2.0, abs=0.06)
            found = reader.read([0.1, 1.1], RATE // 2, RATE)
        assert [pitch_of(wave, RATE) for wave in found] == pytest.approx(
            [400 + 100 * second, 500 + 100 * second], abs=3
        )


def test_frames_that_come_at_uneven_times_are_asked_for_theirs(tmp_path: Path) -> None:
    times = [*range(25), *range(100, 150)]  # a second of pictures, three without, then two more
    path = write_sound(tmp_path / "a.mkv", steps(6, RATE), frames=75, times=times)
    with SoundReader(path, 25, 25) as reader:
        assert pitch_of(reader.read([0.0], RATE // 2, RATE)[0], RATE) == pytest.approx(800, abs=3)


def test_sound_that_begins_late_or_ends_early(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "late.mkv", steps(2, RATE), frames=5 * FPS, delay=1.0)
    with SoundReader(path) as reader:  # windows lie where there is sound, whatever is seen
        assert reader.seconds == pytest.approx(2.0, abs=0.01)
        assert pitch_of(reader.read([0.0], RATE, RATE)[0], RATE) == pytest.approx(400, abs=3)
        assert not reader.notes
    with SoundReader(path, FPS // 2, 2 * FPS) as reader:  # seen from 0.48 to 2.48 s, heard from 1.0
        assert reader.seconds == pytest.approx(1.48, abs=0.01)
        assert pitch_of(reader.read([1.0], RATE // 2, RATE)[0], RATE) == pytest.approx(500, abs=3)
    for start, frames in ((0, FPS // 2), (4 * FPS, FPS)):
        with pytest.raises(NoSound, match="no sound in this part of the file"):
            SoundReader(path, start, frames)


def test_sound_shorter_than_a_window_is_repeated_and_noted(tmp_path: Path) -> None:
    wave = chirp(np.arange(4000) / RATE)[None].astype(np.float32)
    with SoundReader(write_sound(tmp_path / "a.wav", wave)) as reader:
        found = reader.read([0.0], 10_000, RATE)[0]
        assert reader.notes == {"sound shorter than a window, repeated"}
    np.testing.assert_allclose(found, np.tile(wave[0], 3)[:10_000], atol=1e-4)


def test_a_gap_is_silent_and_noted(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    write_sound(tmp_path / "whole.mkv", steps(3, RATE))
    with av.open(str(tmp_path / "whole.mkv")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None and not 1000 <= packet.pts * packet.time_base * 1000 < 2000:
                packet.stream = stream
                target.mux(packet)
    with SoundReader(path) as reader:
        found = reader.read([0.5], 2 * RATE, RATE)[0]
        assert reader.notes == {"gaps in the sound"}
    assert pitch_of(found[: RATE // 4], RATE) == pytest.approx(400, abs=5)
    assert not found[RATE * 3 // 4 : RATE].any()
    assert pitch_of(found[-RATE // 4 :], RATE) == pytest.approx(600, abs=5)


def test_what_has_no_sound_is_missing_and_what_is_damaged_is_broken(tmp_path: Path) -> None:
    mute = write_sound(tmp_path / "mute.mp4", None, frames=10)
    with pytest.raises(NoSound, match=r"^no sound$"):
        SoundReader(mute)
    click = write_sound(tmp_path / "click.wav", steps(1, RATE)[:, :100])
    with pytest.raises(NoSound, match=r"^no sound but 0.006 s"):
        SoundReader(click, least=0.025)
    alone = write_sound(tmp_path / "alone.wav", steps(1, RATE))
    with pytest.raises(BrokenClip, match="no video stream, by whose frames"):
        SoundReader(alone, 5, 10)
    whole = write_sound(tmp_path / "whole.mp4", steps(1, RATE), RATE, "aac", frames=25)
    with pytest.raises(BrokenClip, match="25 frames found, the clip should start at frame 30"):
        SoundReader(whole, 30, 5)
    for name, data in (("empty.mp4", b""), ("text.mp4", b"no film" * 50), ("half.mp4", whole.read_bytes()[:2000])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BrokenClip) as caught:
            SoundReader(tmp_path / name)
        assert not isinstance(caught.value, NoSound)
    with pytest.raises(BrokenClip, match="no such file"):
        SoundReader(tmp_path / "absent.mp4")


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38, 1e10])
def test_values_that_are_no_sound_are_damage(tmp_path: Path, value: float) -> None:
    """They would be a spectrogram of nonsense, in silence. Sound written as whole numbers is only loud."""
    waves = steps(1, 16_000)
    file = write_sound(tmp_path / "a.wav", 30_000 * waves, codec="pcm_f32le")
    with SoundReader(file) as reader:
        assert np.isfinite(reader.read([0.0], 8000, 16_000)).all()
    data = bytearray(file.read_bytes())
    data[-40_000:-39_996] = np.float32(value).tobytes()
    file.write_bytes(data)
    with SoundReader(file) as reader, pytest.raises(BrokenClip, match="not finite, or louder"):
        reader.read([0.0], 16_000, 16_000)
