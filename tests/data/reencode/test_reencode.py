"""Videos encoded anew: every frame in its place, a keyframe every few, sound kept or dropped, annotations that hold."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.video_files import decode_all, moving_pixels, write_images, write_manifest, write_video
from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.decode.video import VideoReader
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.reencode.encoder import VideoSettings, encode_video, encoder_here
from tinkit.errors import UserError

PLAIN = DecodeSettings()


def write_with_sound(path: Path, codec: str, sound: str, *, seconds: int = 2, rate: int = 48_000) -> None:
    """A video of 10 frames a second beside a tone."""
    with av.open(str(path), "w") as target:
        video: Any = target.add_stream(codec, rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio: Any = target.add_stream(sound, rate=rate, layout="stereo")
        for picture in moving_pixels(10 * seconds, 96, 64):
            target.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(video.encode(None))
        time = np.arange(rate * seconds, dtype=np.float32) / rate
        wave = np.stack([np.sin(2 * np.pi * 440 * time)] * 2).astype(np.float32)
        form = audio.codec_context.format.name
        size = 960
        for at in range(0, wave.shape[1] - size + 1, size):
            piece = np.ascontiguousarray(wave[:, at : at + size])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            for good in av.AudioResampler(format=form, layout="stereo", rate=rate).resample(frame):
                target.mux(audio.encode(good))
        target.mux(audio.encode(None))


def sound_seconds(path: Path) -> tuple[str, float]:
    """The codec of the sound, and how much of it can be decoded; nothing where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return "", 0.0
        stream = container.streams.audio[0]
        name = stream.codec_context.name
        return name, sum(frame.samples / frame.sample_rate for frame in container.decode(stream))


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_frames_keep_their_numbers(tmp_path: Path, suffix: str) -> None:
    source = write_video(
        tmp_path / f"a.{suffix}", "libx264" if suffix == "mp4" else "libvpx-vp9", count=37, width=98, height=66
    )
    row = encode_video(source, tmp_path / "out.mp4", VideoSettings(pixels=32, gop=8, crf=10), PLAIN)
    truth, found = decode_all(source), decode_all(tmp_path / "out.mp4")
    assert len(truth) == len(found) == row["frames"] == 37
    assert found[0].shape == (32, 46, 3)  # 47.5, made even
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert reader.facts().keyframes == (0, 8, 16, 24, 32)
        assert reader.facts().rate == row["rate"] == 30.0
    small = [np.asarray(Image.fromarray(frame).resize((46, 32), Image.Resampling.BILINEAR), float) for frame in truth]
    for number, frame in enumerate(found):
        apart = [np.abs(frame - other).mean() for other in small[max(0, number - 2) : number + 3]]
        assert int(np.argmin(apart)) == min(number, 2)
        assert min(apart) < 12


def test_whatever_lies_in_memory_the_bytes_are_the_same(tmp_path: Path) -> None:
    """With x264's tree of macroblocks on, a fifth of such small films differ in their last frames."""
    source, held, found = write_video(tmp_path / "a.mp4", count=3, seed=9), list[Any](), set[bytes]()
    for number in range(16):
        held = [
            *held[-(number % 3) :],
            np.random.default_rng(number).integers(0, 256, (100 + 37 * number, 999), np.uint8),
        ]
        encode_video(source, tmp_path / "b.mp4", VideoSettings(pixels=48), PLAIN)
        found.add((tmp_path / "b.mp4").read_bytes())
    assert len(found) == 1


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    encode_video(write_video(tmp_path / "a.mp4", count=5), tmp_path / "b.mp4", VideoSettings(), PLAIN)
    data = (tmp_path / "b.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("codec", "sound", "kept"),
    [("libx264", "aac", "aac"), ("libx264", "pcm_s16le", "aac"), ("libvpx-vp9", "libopus", "opus")],
)
def test_sound(tmp_path: Path, codec: str, sound: str, kept: str) -> None:
    source = tmp_path / {"aac": "a.mp4", "pcm_s16le": "a.mkv", "libopus": "a.webm"}[sound]
    write_with_sound(source, codec, sound)
    encode_video(source, tmp_path / "kept.mp4", VideoSettings(), PLAIN)
    encode_video(source, tmp_path / "dropped.mp4", VideoSettings(audio="drop"), PLAIN)
    name, seconds = sound_seconds(tmp_path / "kept.mp4")
    assert (name, sound_seconds(tmp_path / "dropped.mp4")) == (kept, ("", 0.0))
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert len(decode_all(tmp_path / "kept.mp4")) == 20


def test_without_x264_the_next_encoder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinkit.data.reencode.encoder.ENCODERS", ("libnothing", "mpeg4"))
    assert encoder_here() == "mpeg4"
    row = encode_video(write_video(tmp_path / "a.mp4", count=20), tmp_path / "b.mp4", VideoSettings(gop=6), PLAIN)
    assert len(decode_all(tmp_path / "b.mp4")) == row["frames"] == 20
    monkeypatch.setattr("tinkit.data.reencode.encoder.ENCODERS", ("libnothing",))
    with pytest.raises(UserError, match="has none of the encoders"):
        encoder_here()


def test_a_film_that_was_cut_off_is_broken_and_not_shorter(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", count=60, container={"movflags": "faststart"})
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(BrokenClip, match="truncated"):
        encode_video(source, tmp_path / "b.mp4", VideoSettings(), PLAIN)


def test_the_command_makes_a_data_set(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "small"
    (root / "clips").mkdir(parents=True)
    for number, name in enumerate(("one", "two")):
        write_video(root / "clips" / f"{name}.mp4", count=20 + number, seed=number)
    (root / "clips" / "bad.mp4").write_text("no film")
    write_manifest(root, [(name, f"clips/{name}.mp4", "a") for name in ("one", "two", "bad")])
    words = ["data", "reencode", "table", "--data", str(root), "--split", "train", "--out", str(out), "--workers", "0"]
    assert CliRunner().invoke(app, [*words, "--shard", "2/2"]).exit_code == 0
    assert not (out / "clips" / "one.mp4").exists()
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert (values["videos"], values["encoded now"], set(values["broken"])) == (2, 2, {"clips/bad.mp4"})
    manifest = open_manifest(DataConfig(dataset="table", root=out), "train")
    assert manifest.ids == ["one", "two", "bad"]
    assert [len(decode_all(out / path)) for path in manifest.paths[:2]] == [20, 21]
    before = (out / "clips" / "one.mp4").stat().st_mtime_ns
    write_video(root / "clips" / "two.mp4", count=5)
    (root / "clips" / "bad.mp4").unlink()
    again = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert again["encoded now"] == 2
    assert len(decode_all(out / "clips" / "two.mp4")) == 5
    assert (out / "clips" / "one.mp4").stat().st_mtime_ns == before
    other = CliRunner().invoke(app, [*words, "--gop", "4"])
    assert "gop 16, not 4" in str(other.exception)
    write_images(tmp_path / "images" / "x", 2)
    frames = write_manifest(tmp_path / "images", [("x", "x", "a")], media="frames")
    recipe = tmp_path / "mine.toml"
    recipe.write_text('extends = "demo_tsn"\n[data]\ndataset = "table"\nmedia = "frames"\n')
    words[2], words[4] = str(recipe), str(frames.root)
    assert "folders of images" in str(CliRunner().invoke(app, words).exception)
