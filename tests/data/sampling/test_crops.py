"""Crops against a slow obvious twin on PIL images, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.sampling import crops

SCALES = (1.0, 0.875, 0.75, 0.66)
side = st.integers(1, 400)


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 1009 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_sizes(width: int, height: int, size: int) -> list[tuple[int, int]]:
    """The ten (width, height) pairs, written out one after the other."""
    sides = []
    for scale in SCALES:
        cut = int(min(width, height) * scale)
        if cut > size - 3 and cut < size + 3:
            cut = size
        cut = max(cut, 1)
        if cut > min(width, height):
            cut = min(width, height)
        sides.append(cut)
    a, b, c, d = sides
    return [(a, a), (b, a), (a, b), (b, b), (c, b), (b, c), (c, c), (d, c), (c, d), (d, d)]


def slow_places(width: int, height: int, w: int, h: int) -> list[tuple[int, int]]:
    """The thirteen top left corners (x, y)."""
    x = [k * ((width - w) // 4) for k in range(5)]
    y = [k * ((height - h) // 4) for k in range(5)]
    corners = [(x[0], y[0]), (x[4], y[0]), (x[0], y[4]), (x[4], y[4])]
    middles = [(x[0], y[2]), (x[4], y[2]), (x[2], y[4]), (x[2], y[0])]
    quarters = [(x[1], y[1]), (x[3], y[1]), (x[1], y[3]), (x[3], y[3])]
    return [*corners, (x[2], y[2]), *middles, *quarters]


@given(side, side, st.integers(1, 300))
def test_multiscale_has_ten_sizes_within_the_frame(width: int, height: int, size: int) -> None:
    found = crops.multiscale_sizes(width, height, size, SCALES)
    assert sorted(found) == sorted(slow_sizes(width, height, size))
    assert len(found) == 10


def test_multiscale_snaps_to_the_input_size_below_three_pixels() -> None:
    # 226 and 222 are two pixels from 224, 227 and 221 are three
    assert {w for w, _ in crops.multiscale_sizes(340, 256, 224, SCALES)} == {256, 224, 192, 168}
    for base, expected in ((226, 224), (225, 224), (227, 227), (224, 224), (223, 223), (222, 222), (221, 221)):
        assert crops.multiscale_sizes(base, 400, 224, (1.0,)) == [(expected, expected)]
    assert crops.multiscale_sizes(254, 300, 224, (0.875,)) == [(224, 224)]  # 222 grows into a frame with room


@given(side, side, st.integers(1, 300))
def test_multiscale_has_thirteen_places_within_the_frame(width: int, height: int, size: int) -> None:
    for crop in set(crops.multiscale_sizes(width, height, size, SCALES)):
        boxes = crops.multiscale_boxes(width, height, crop)
        assert sorted((b.left, b.top) for b in boxes) == sorted(slow_places(width, height, *crop))
        assert all((b.width, b.height) == crop for b in boxes)
        assert all(b.left >= 0 and b.left + b.width <= width for b in boxes)
        assert all(b.top >= 0 and b.top + b.height <= height for b in boxes)


def test_multiscale_draws_sizes_and_places_uniformly() -> None:
    rng = np.random.default_rng(0)
    drawn = [crops.multiscale(340, 256, 200, SCALES, rng) for _ in range(13000)]
    sizes = {pair: sum((b.width, b.height) == pair for b in drawn) for pair in slow_sizes(340, 256, 200)}
    assert len(sizes) == 10
    assert all(abs(count - 1300) < 170 for count in sizes.values())  # five standard deviations
    square = [b for b in drawn if (b.width, b.height) == (224, 224)]
    places = {(b.left, b.top) for b in square}
    assert places == set(slow_places(340, 256, 224, 224))


@settings(max_examples=150)
@given(side, side, st.integers(1, 260), st.integers(0, 10**6))
def test_a_training_crop_has_the_pixels_of_pil(width: int, height: int, size: int, seed: int) -> None:
    frame = picture(width, height)
    box = crops.multiscale(width, height, size, SCALES, np.random.default_rng(seed))
    found = crops.resize(crops.cut(frame, box), size, size)
    image = Image.fromarray(frame).crop((box.left, box.top, box.left + box.width, box.top + box.height))
    assert np.array_equal(found, np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)))


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 256))
def test_the_test_scale_has_the_pixels_of_pil(width: int, height: int, scale: int) -> None:
    frame = picture(width, height)
    if scale * max(width, height) / min(width, height) > 4000:
        height = width = min(width, height)
        frame = picture(width, height)
    image = Image.fromarray(frame)
    if width <= height:
        image = image.resize((scale, int(scale * height / width)), Image.Resampling.BILINEAR)
    else:
        image = image.resize((int(scale * width / height), scale), Image.Resampling.BILINEAR)
    assert np.array_equal(crops.scale_short_side(frame, scale), np.asarray(image))


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 600))
def test_three_crops_lie_along_the_longer_side(width: int, height: int, size: int) -> None:
    size = min(size, width, height)
    boxes = crops.three(width, height, size)
    x, y = (width - size) // 4, (height - size) // 4
    expected = [(0, 2 * y), (4 * x, 2 * y), (2 * x, 2 * y)]
    if height > width:
        expected = [(2 * x, 0), (2 * x, 4 * y), (2 * x, 2 * y)]
    assert [(b.left, b.top) for b in boxes] == expected
    assert all(b.left + size <= width and b.top + size <= height for b in boxes)


def test_three_crops_of_usual_frames() -> None:
    assert [(b.left, b.top) for b in crops.three(341, 256, 256)] == [(0, 0), (84, 0), (42, 0)]
    assert [(b.left, b.top) for b in crops.three(256, 341, 256)] == [(0, 0), (0, 84), (0, 42)]
    assert [(b.left, b.top) for b in crops.three(341, 256, 224)] == [(0, 16), (116, 16), (58, 16)]


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 600))
def test_five_and_ten_crops_are_corners_and_centre(width: int, height: int, size: int) -> None:
    size = min(size, width, height)
    expected = slow_places(width, height, size, size)[:5]  # the corners, then the centre
    boxes = crops.test_boxes(width, height, size, 5)
    assert [(b.left, b.top) for b in boxes] == expected
    assert not any(b.mirrored for b in boxes)
    assert all((b.width, b.height) == (size, size) for b in boxes)
    assert all(0 <= b.left <= width - size and 0 <= b.top <= height - size for b in boxes)
    both = crops.test_boxes(width, height, size, 10)
    assert both[:5] == boxes
    assert [(b.left, b.top, b.width, b.height) for b in both[5:]] == [(x, y, size, size) for x, y in expected]
    assert [b.mirrored for b in both] == [False] * 5 + [True] * 5


def test_five_crops_of_usual_frames() -> None:
    wide, tall = crops.test_boxes(341, 256, 224, 5), crops.test_boxes(256, 341, 224, 5)
    assert [(b.left, b.top) for b in wide] == [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
    assert [(b.left, b.top) for b in tall] == [(0, 0), (32, 0), (0, 116), (32, 116), (16, 58)]
    assert [(b.left, b.top) for b in crops.test_boxes(341, 256, 256, 5)] == [(0, 0), (84, 0), (0, 0), (84, 0), (42, 0)]


def test_a_mirrored_box_shows_the_pixels_of_pil_turned_round() -> None:
    frame = picture(61, 40)
    for box in crops.test_boxes(61, 40, 32, 10):
        image = Image.fromarray(frame).crop((box.left, box.top, box.left + 32, box.top + 32))
        if box.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert np.array_equal(crops.cut(frame, box), np.asarray(image))


def test_what_moved_right_moves_left_in_a_mirrored_box_of_flow() -> None:
    flow = picture(9, 4)[..., :2]
    found = crops.cut(flow, crops.test_boxes(9, 4, 4, 10)[5])
    assert np.array_equal(found[..., 0], 255 - flow[:4, :4][:, ::-1, 0])
    assert np.array_equal(found[..., 1], flow[:4, :4][:, ::-1, 1])


@pytest.mark.parametrize("spatial", [0, 2, 4, 11])
def test_other_numbers_of_crops_do_not_exist(spatial: int) -> None:
    with pytest.raises(KeyError):
        crops.test_boxes(60, 40, 32, spatial)


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 600))
def test_the_centre_leaves_the_same_on_both_sides(width: int, height: int, size: int) -> None:
    size = min(size, width, height)
    box = crops.centre(width, height, size)
    for before, whole in ((box.left, width), (box.top, height)):
        after = whole - size - before
        assert before >= 0
        assert after >= 0
        assert abs(before - after) <= 1
    assert (box.width, box.height) == (size, size)
    assert crops.test_boxes(width, height, size, 1) == [box]
    assert crops.test_boxes(width, height, size, 3) == crops.three(width, height, size)


def test_cutting_before_resizing_is_not_what_pil_does_with_a_box() -> None:
    """Why crops are cut first: PIL's resize(box=...) lets pixels outside the box in."""
    frame = picture(60, 40)
    cut_first = crops.resize(crops.cut(frame, crops.Box(10, 10, 25, 25)), 16, 16)
    with_box = Image.fromarray(frame).resize((16, 16), Image.Resampling.BILINEAR, box=(10, 10, 35, 35))
    assert not np.array_equal(cut_first, np.asarray(with_box))


def test_a_ribbon_does_not_fill_the_memory() -> None:
    with pytest.raises(BrokenClip, match="2560000x256 pixels"):
        crops.scale_short_side(np.zeros((1, 10000, 3), dtype=np.uint8), 256)
    assert crops.scale_short_side(np.full((1, 1, 3), 7, dtype=np.uint8), 8).tolist() == [[[7, 7, 7]] * 8] * 8
