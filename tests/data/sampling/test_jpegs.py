"""One native call from JPEGs to where they are shown: the pixels of the whole image, cut and resized by Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.video_files import write_images, write_manifest
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import Frame, Rectangle
from tinkit.data.decode.open_clip import ImageFolder
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import jpegs
from tinkit.data.sampling.jpegs import Shown, show_jpegs

side = st.integers(1, 90)


@pytest.fixture(scope="module", autouse=True)
def native_call() -> None:
    if not jpegs.can_show_jpegs(np.empty((1, 1, 3), np.uint8)):
        pytest.skip("no native kernels here: frames are read one by one")


def pictures(count: int, width: int, height: int, seed: int, sampling: str = "420") -> list[bytes]:
    """JPEGs of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    return [simplejpeg.encode_jpeg(frame, 60 + seed % 40, colorsubsampling=sampling) for frame in noise]


def inside(width: int, height: int, rng: np.random.Generator) -> Rectangle:
    left, top = int(rng.integers(width)), int(rng.integers(height))
    return left, top, int(rng.integers(1, width - left + 1)), int(rng.integers(1, height - top + 1))


def expected(data: bytes, box: Rectangle, size: tuple[int, int], *, mirrored: bool) -> Frame:
    left, top, width, height = box
    image = Image.fromarray(simplejpeg.decode_jpeg(data)).crop((left, top, left + width, top + height))
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    return pixels[:, ::-1] if mirrored else pixels


@settings(max_examples=80)
@given(side, side, side, side, st.sampled_from(["444", "422", "420"]), st.integers(1, 3), st.integers(0, 10**6))
def test_every_frame_is_shown_as_pillow_shows_it(
    width: int, height: int, to_width: int, to_height: int, sampling: str, cuts: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    files, part = pictures(3, width, height, seed, sampling), inside(width, height, rng)
    around = np.full((cuts, 3, to_height + 2, to_width + 2, 3), 77, np.uint8)
    shown = [
        Shown(
            inside(part[2], part[3], rng),
            mirrored=bool(rng.random() < 0.5),
            targets=[target[1:-1, 1:-1] if rng.random() < 0.7 else None for target in around[cut]],
        )
        for cut in range(cuts)
    ]
    assert show_jpegs(files, (width, height), part, shown) == 3
    for place, mirrored, targets in shown:
        box = (part[0] + place[0], part[1] + place[1], place[2], place[3])
        for data, target in zip(files, targets, strict=True):
            if target is not None:
                assert np.array_equal(target, expected(data, box, (to_width, to_height), mirrored=mirrored))
                target[:] = 77
    assert (around == 77).all()


def without(data: bytes, marker: int) -> bytes:
    """A JPEG less the segments that begin with a marker."""
    while (begin := data.find(bytes((0xFF, marker)))) >= 0:
        length = int.from_bytes(data[begin + 2 : begin + 4], "big")
        data = data[:begin] + data[begin + 2 + length :]
    return data


def progressive(data: bytes, path: Path) -> bytes:
    Image.fromarray(simplejpeg.decode_jpeg(data)).save(path, "JPEG", progressive=True)
    return path.read_bytes()


@pytest.mark.parametrize("fault", ["tables", "size", "end", "scans", "damage", "nothing", "png"])
def test_a_file_that_is_not_to_be_read_so_ends_it(fault: str, tmp_path: Path) -> None:
    good = pictures(1, 40, 30, 1)[0]
    bad = {
        "tables": without(good, 0xDB),
        "size": pictures(1, 41, 30, 1)[0],
        "end": good[:-1],
        "scans": progressive(good, tmp_path / "a.jpg"),
        "damage": good[: len(good) // 2] + b"\xff\xd3" * 20 + good[len(good) // 2 :],
        "nothing": b"",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(30) + b"\xff\xd9",
    }[fault]
    targets = np.full((4, 16, 16, 3), 77, np.uint8)
    box = (3, 2, 30, 28)
    assert show_jpegs([good, good, bad, good], (40, 30), box, [Shown((0, 0, 30, 28), False, list(targets))]) == 2
    for target in targets[:2]:
        assert np.array_equal(target, expected(good, box, (16, 16), mirrored=False))
    assert (targets[3] == 77).all()


def test_huffman_codes_of_one_file_do_not_serve_another(tmp_path: Path) -> None:
    """One without any has the standard's, which are not those of the file before it."""
    Image.fromarray(simplejpeg.decode_jpeg(pictures(1, 48, 48, 2)[0])).save(tmp_path / "a.jpg", optimize=True)
    own, standard = (tmp_path / "a.jpg").read_bytes(), pictures(1, 48, 48, 3)[0]
    bare = without(standard, 0xC4)
    targets = np.empty((2, 48, 48, 3), np.uint8)
    whole = (0, 0, 48, 48)
    assert show_jpegs([own, bare], (48, 48), whole, [Shown(whole, False, list(targets))]) == 2
    assert np.array_equal(targets[1], simplejpeg.decode_jpeg(standard))


def faulty_folder(tmp_path: Path, fault: str) -> TrainClips:
    folder = tmp_path / "a"
    write_images(folder, 12, width=60, height=50)
    sixth = folder / "00006.jpg"
    match fault:
        case "cut off":
            sixth.write_bytes(sixth.read_bytes()[:200])
        case "empty":
            sixth.write_bytes(b"")
        case "a folder":
            sixth.unlink()
            sixth.mkdir()
        case "another size":
            Image.new("RGB", (61, 50)).save(sixth)
        case "grey":
            Image.open(sixth).convert("L").save(sixth)
        case "CMYK":
            Image.open(sixth).convert("CMYK").save(sixth)
        case "a PNG":
            Image.open(sixth).save(sixth, "PNG")
    manifest = write_manifest(tmp_path, [("a", "a", "a")], media="frames")
    return TrainClips(manifest, ClipConfig(num_segments=12, size=32), seed=1)


@pytest.mark.parametrize("fault", ["", "cut off", "empty", "a folder", "another size", "grey", "CMYK", "a PNG"])
def test_a_clip_is_what_it_is_frame_by_frame(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels, notes and the reason of a broken clip, wherever in it a frame is left to others."""
    clips = faulty_folder(tmp_path, fault)
    together: Any = clips[3, 0]
    monkeypatch.setattr(jpegs, "_native", lambda: None)
    apart: Any = clips[3, 0]
    assert together["valid"] == (fault in ("", "grey", "CMYK", "a PNG"))
    assert np.array_equal(together.pop("frames"), apart.pop("frames"))
    assert np.array_equal(together.pop("labels"), apart.pop("labels"))
    assert together == apart


def test_several_cuttings_show_the_same_frames_in_their_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = faulty_folder(tmp_path, "a PNG")
    keys = [(2, 0, repeat) for repeat in range(3)]
    together = [np.asarray(item["frames"]) for item in clips.each(keys)]
    monkeypatch.setattr(jpegs, "_native", lambda: None)
    for key, frames in zip(keys, together, strict=True):
        assert np.array_equal(frames, clips[key]["frames"])


def test_large_images_are_not_held_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "a", 4, width=60, height=50)
    folder = ImageFolder(tmp_path / "a", "{:05d}.jpg", 0, None, DecodeSettings(), None)
    sizes: list[int] = []

    def show(width: int, height: int, files: Sequence[bytes | memoryview]) -> int:
        sizes.append(len(files))
        return len(files)

    assert folder.show_files([0, 1, 2, 3], show) == 4
    one = (tmp_path / "a" / "00001.jpg").stat().st_size
    monkeypatch.setattr("tinkit.data.decode.open_clip._TOGETHER", 2 * one + one // 2)
    assert folder.show_files([0, 1, 2, 3], show) == 2
    monkeypatch.setattr("tinkit.data.decode.image_file.TIMED_PIXELS", 2999)
    assert folder.show_files([0, 1, 2, 3], show) == 0
    assert sizes == [4, 2]
