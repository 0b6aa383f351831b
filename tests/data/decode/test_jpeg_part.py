"""Parts of JPEGs have the pixels of the whole, and files that are not whole are judged as whole ones are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.video_files import moving_pixels, write_images, write_manifest
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.decode import image_file, jpeg_part
from tinkit.data.decode.clip_reader import BrokenClip, Frame, Rectangle, cut_out
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.sampling import jpegs
from tinkit.ops import native

DECODING = DecodeSettings()
side = st.integers(1, 150)
samplings = st.sampled_from(["444", "422", "420", "440", "411", "Gray"])


@pytest.fixture(scope="module", autouse=True)
def decoder() -> None:
    if native.state().library is None:
        pytest.skip("no native kernels here: whole images are decoded")
    assert jpeg_part.decoder_of_parts() is not None


def encoded(width: int, height: int, sampling: str, seed: int) -> bytes:
    """A JPEG of noise and edges, in which every wrong neighbour shows."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    pixels[rng.random((height, width)) < 0.5] = 255 * (seed % 2)
    colours = {"colorspace": "GRAY"} if sampling == "Gray" else {"colorsubsampling": sampling}
    pixels = np.ascontiguousarray(pixels[..., :1]) if sampling == "Gray" else pixels
    data: bytes = simplejpeg.encode_jpeg(pixels, 70 + seed % 30, **colours)
    return data


def some_part(width: int, height: int, seed: int) -> Rectangle:
    rng = np.random.default_rng(seed)
    left, top = int(rng.integers(width)), int(rng.integers(height))
    return left, top, int(rng.integers(1, width - left + 1)), int(rng.integers(1, height - top + 1))


@settings(max_examples=100)
@given(side, side, samplings, st.integers(0, 10**6))
def test_a_part_has_the_pixels_of_the_whole(width: int, height: int, sampling: str, seed: int) -> None:
    data, part = encoded(width, height, sampling, seed), some_part(width, height, seed)
    found = jpeg_part.part_of_jpeg(data, width, height, part)
    assert found is not None
    assert np.array_equal(found, cut_out(simplejpeg.decode_jpeg(data), part))


@settings(max_examples=40)
@given(side, side, st.integers(1, 5), st.integers(0, 10**6))
def test_a_part_of_a_file_with_restart_markers(width: int, height: int, blocks: int, seed: int) -> None:
    image, buffer = Image.fromarray(moving_pixels(1, width, height, seed)[0]), io.BytesIO()
    image.save(buffer, "JPEG", restart_marker_blocks=blocks, subsampling=seed % 3, optimize=bool(seed % 2))
    part = some_part(width, height, seed)
    found = jpeg_part.part_of_jpeg(buffer.getvalue(), width, height, part)
    assert found is not None
    assert np.array_equal(found, cut_out(simplejpeg.decode_jpeg(buffer.getvalue()), part))


@pytest.mark.parametrize(("mode", "options"), [("RGB", {"progressive": True}), ("CMYK", {}), ("RGB", {"qtables": []})])
def test_what_is_not_decoded_in_parts_is_cut_out_of_the_whole(mode: str, options: dict[str, Any]) -> None:
    """Several scans, four colours, and (a PNG) no JPEG at all."""
    image, buffer = Image.fromarray(moving_pixels(1, 60, 45)[0]).convert(mode), io.BytesIO()
    image.save(buffer, "PNG" if "qtables" in options else "JPEG", **{k: v for k, v in options.items() if v})
    data, part = buffer.getvalue(), (7, 9, 40, 31)
    assert jpeg_part.part_of_jpeg(data, 60, 45, part) is None
    found, size = image_file.decode_part(data, DECODING, lambda *_: part)
    assert size == (60, 45)
    assert np.array_equal(found, np.asarray(Image.open(buffer).convert("RGB"))[9:40, 7:47])


def judged(data: bytes, part: Rectangle | None = None) -> Frame | str:
    """The pixels, of a part or all, or why there are none."""
    try:
        if part is None:
            return image_file.decode_image(data, DECODING)
        return image_file.decode_part(data, DECODING, lambda *_: part)[0]
    except BrokenClip as error:
        return error.reason


@settings(max_examples=60)
@given(st.floats(0, 1), st.integers(0, 10**6))
def test_a_file_that_was_cut_off_is_judged_as_a_whole_wherever_the_part_lies(share: float, seed: int) -> None:
    data = encoded(90, 70, "420", seed)
    cut, part = data[: int(share * (len(data) - 1))], (20, 0, 40, 8)
    found, whole = judged(cut, part), judged(cut)
    if isinstance(whole, str):
        assert found == whole
    else:
        assert np.array_equal(found, cut_out(whole, part))


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_damage_above_the_lower_edge_is_judged_as_in_the_whole_and_below_it_does_not_matter(
    seed: int, count: int
) -> None:
    rng, data = np.random.default_rng(seed), bytearray(encoded(90, 70, "420", seed))
    part = some_part(90, 70, seed)
    for place in rng.integers(2, len(data) - 2, count):
        data[place] = rng.integers(256)
    found = jpeg_part.part_of_jpeg(bytes(data), 90, 70, part)
    if found is None:
        return  # the whole is decoded
    try:
        whole = simplejpeg.decode_jpeg(bytes(data))
    except ValueError:  # further down
        whole = simplejpeg.decode_jpeg(bytes(data), strict=False)
    assert np.array_equal(found, cut_out(whole, part))


def test_another_size_than_the_header_has_is_refused() -> None:
    data = encoded(40, 30, "420", 1)
    assert jpeg_part.part_of_jpeg(data, 41, 30, (0, 0, 4, 4)) is None
    assert jpeg_part.part_of_jpeg(data, 40, 30, (0, 0, 4, 4)) is not None


@pytest.mark.parametrize("crop", ["multiscale", "resized", "centre"])
def test_clips_are_the_same_with_and_without_decoding_parts(
    crop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "a", 9, width=97, height=71)
    manifest = write_manifest(tmp_path, [("a", "a", "a")], media="frames")
    clips = TrainClips(manifest, ClipConfig(num_segments=4, size=48, crop=crop), seed=3)
    by_part = [clips[epoch, 0] for epoch in range(8)]
    together = list(clips.each((5, 0, repeat) for repeat in range(3)))  # one part that holds three crops
    asked = []
    monkeypatch.setattr(jpegs, "_native", lambda: None)
    for epoch, item in enumerate(by_part):  # frame by frame, each decoded in part
        assert np.array_equal(item["frames"], clips[epoch, 0]["frames"])
    monkeypatch.setattr(image_file, "part_of_jpeg", lambda *part: asked.append(part))
    for epoch, item in enumerate(by_part):
        assert item["valid"]
        assert np.array_equal(item["frames"], clips[epoch, 0]["frames"])
    assert len(asked) == 32
    for repeat, item in enumerate(together):
        assert np.array_equal(item["frames"], clips[5, 0, repeat]["frames"])


@pytest.mark.parametrize("known", [((62, 100),), ((50, 632),), ((80, 656), (62, 632))])
def test_a_libjpeg_of_another_make_is_not_called(
    known: tuple[tuple[int, int], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = native.state().library
    assert library is not None
    monkeypatch.setattr(jpeg_part, "_KNOWN", known)
    assert (jpeg_part._table(library) is not None) == (len(known) == 2)
    monkeypatch.setattr(jpeg_part, "_FUNCTIONS", ("jpeg_none", *jpeg_part._FUNCTIONS[1:]))
    assert jpeg_part._table(library) is None


def test_a_libjpeg_with_other_pixels_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simplejpeg.decode_jpeg
    monkeypatch.setattr(jpeg_part.simplejpeg, "decode_jpeg", lambda data: whole(data) ^ 1)
    assert jpeg_part.decoder_of_parts.__wrapped__() is None
