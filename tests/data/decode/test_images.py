"""Folders of images as clips: real files against Pillow, and everything that can be wrong with one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.helpers.video_files import moving_pixels, write_images
from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.open_clip import open_clip
from tinkit.errors import UserError


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
