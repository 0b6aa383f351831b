"""Resizing is Pillow's bilinear filter to the bit: by the native kernel at every level, and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.native_levels import LEVELS, using_level
from tinkit.data.decode.clip_reader import Frame
from tinkit.data.sampling import crops, resize
from tinkit.ops import native

side, size = st.integers(1, 330), st.integers(1, 280)


def pillow(frame: Frame, width: int, height: int) -> Frame:
    """Pillow's own, a channel at a time: its arithmetic looks at no other."""
    planes = [
        Image.fromarray(np.ascontiguousarray(frame[..., channel])).resize((width, height), Image.Resampling.BILINEAR)
        for channel in range(frame.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def picture(width: int, height: int, channels: int, seed: int) -> Frame:
    """Noise, or black and white, where every rounding shows."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return pixels if seed % 3 else np.where(pixels > 127, 255, 0).astype(np.uint8)


@pytest.fixture(params=LEVELS, scope="module")
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this processor has."""
    without = "no native kernels here: those of the fallback are tested"
    with using_level(native.state().library, request.param, without) as name:
        assert resize.native_kernel() is not None
        yield name


@settings(max_examples=150)
@given(side, side, size, size, st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_the_kernel_has_the_pixels_of_pillow(
    level: str, width: int, height: int, to_width: int, to_height: int, channels: int, mirrored: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = picture(width, height, channels, seed)
    left, top = int(rng.integers(width)), int(rng.integers(height))
    part = frame[
        top : top + int(rng.integers(1, height - top + 1)), left : left + int(rng.integers(1, width - left + 1))
    ]
    around = np.full((to_height + 2, to_width + 2, channels), 77, np.uint8)
    resize.resize_into(around[1:-1, 1:-1], part, mirrored=mirrored)
    wanted = pillow(part, to_width, to_height)
    assert np.array_equal(around[1:-1, 1:-1], wanted[:, ::-1] if mirrored else wanted)
    around[1:-1, 1:-1] = 77
    assert (around == 77).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("same", ["width", "height", "both"])
def test_a_side_that_stays_is_not_filtered(level: str, same: str, mirrored: bool) -> None:
    frame = picture(50, 37, 3, 1)
    width, height = (50 if same != "height" else 31), (37 if same != "width" else 64)
    found = np.empty((height, width, 3), np.uint8)
    resize.resize_into(found, frame, mirrored=mirrored)
    wanted = pillow(frame, width, height)
    assert np.array_equal(found, wanted[:, ::-1] if mirrored else wanted)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (300, 1), (2, 5000), (5000, 3)])
def test_single_pixels_and_long_sides(level: str, width: int, height: int) -> None:
    frame = picture(width, height, 3, 3)
    for to in ((1, 1), (224, 224), (1, 500), (3, 2)):
        assert np.array_equal(resize.resize(frame, *to), pillow(frame, *to))


def test_frames_of_interleaved_segments_are_filled_apart(level: str) -> None:
    """Consecutive frames of a segment lie behind one another in a pixel: a target's pixels do not touch."""
    frame = picture(60, 40, 2, 5)
    stack = np.zeros((24, 24, 5, 2), np.uint8)
    crops.cut_into(stack[:, :, 3], frame, crops.Box(10, 4, 30, 20, mirrored=True))
    wanted = pillow(frame[4:24, 10:40], 24, 24)[:, ::-1].copy()
    wanted[..., 0] = 255 - wanted[..., 0]  # what moved right moves left
    assert np.array_equal(stack[:, :, 3], wanted)
    stack[:, :, 3] = 0
    assert not stack.any()


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "native_kernel", lambda: None)


@settings(max_examples=60)
@given(side, side, size, size, st.integers(1, 4), st.booleans())
def test_without_the_kernel_the_pixels_are_the_same(
    width: int, height: int, to_width: int, to_height: int, channels: int, mirrored: bool
) -> None:
    frame = picture(width, height, channels, width)
    wanted = pillow(frame, to_width, to_height)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resize, "native_kernel", lambda: None)
        found = np.empty((to_height, to_width, channels), np.uint8)
        resize.resize_into(found, frame, mirrored=mirrored)
    assert np.array_equal(found, wanted[:, ::-1] if mirrored else wanted)


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize("channels", [2, 3])
def test_large_frames_go_through_pillow_in_strips_to_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    frame = picture(333, 210, channels, 7)
    largest = []
    whole = resize._whole
    monkeypatch.setattr(resize, "_STRIP_PIXELS", 5000)
    resize._order()

    def watched(pixels: Frame, width: int | None, height: int | None) -> Frame:
        largest.append(pixels.shape[0] * pixels.shape[1])
        return whole(pixels, width, height)

    monkeypatch.setattr(resize, "_whole", watched)
    for to in ((40, 30), (333, 50), (500, 210), (17, 400), (300, 11)):
        assert np.array_equal(resize.resize(frame, *to), pillow(frame, *to))
    assert max(largest) <= 5000


def rows_first(pixels: Frame, width: int | None, height: int | None) -> Frame:
    """Pillow before 13, whatever is installed: one side after the other."""
    old_height, old_width = pixels.shape[:2]
    wide = pillow(pixels, width or old_width, old_height)
    return pillow(wide, width or old_width, height or old_height)


def unknown(pixels: Frame, width: int | None, height: int | None) -> Frame:
    """A filter of its own."""
    return rows_first(pixels, width, height) // 2


@pytest.mark.parametrize("by", [rows_first, unknown])
def test_the_kernel_follows_the_installed_pillow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: Callable[..., Frame]
) -> None:
    if native.state().library is None:
        pytest.skip("no native kernels here")
    monkeypatch.setattr(resize, "_whole", by)
    for cached in (resize.native_kernel, resize._order):
        cached.cache_clear()
    try:
        kernel = resize.native_kernel()
        assert (kernel is None) == (by is unknown)
        frame = picture(40, 90, 3, 1)
        assert np.array_equal(resize.resize(frame, 30, 20), by(frame, 30, 20))
    finally:
        monkeypatch.undo()
        for cached in (resize.native_kernel, resize._order):
            cached.cache_clear()
