"""Crops of random area and shape against torchvision's definition, drawn in a plain loop."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinkit.data.sampling.crops import Box, resized

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
sides = st.integers(1, 400)


@given(sides, sides, st.sampled_from([AREA, (0.5, 0.5), (1e-4, 1e-3)]), st.integers(0, 2**32))
def test_a_crop_is_the_first_draw_that_fits(width: int, height: int, area: tuple[float, float], seed: int) -> None:
    found = resized(width, height, area, RATIO, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    for _ in range(10):
        share = area[0] + (area[1] - area[0]) * rng.random()
        shape = math.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * rng.random())
        w, h = round((width * height * share * shape) ** 0.5), round((width * height * share / shape) ** 0.5)
        if 1 <= w <= width and 1 <= h <= height:
            top, left = rng.integers(0, height - h, endpoint=True), rng.integers(0, width - w, endpoint=True)
            assert found == Box(int(left), int(top), w, h)
            return
    assert (found.left, found.top) == ((width - found.width) // 2, (height - found.height) // 2)


@given(sides, sides, st.floats(0.01, 1), st.floats(0.05, 3), st.integers(0, 2**32))
def test_a_crop_lies_in_the_frame(width: int, height: int, least: float, ratio: float, seed: int) -> None:
    box = resized(width, height, (least, 1.0), (ratio, 1.5 * ratio), np.random.default_rng(seed))
    assert 0 <= box.left <= box.left + box.width <= width
    assert 0 <= box.top <= box.top + box.height <= height
    assert min(box.width, box.height) >= 1


def test_a_frame_without_such_a_crop_gives_its_middle() -> None:
    rng = np.random.default_rng(0)
    assert resized(300, 100, (1.0, 1.0), (0.5, 2.0), rng) == Box(50, 0, 200, 100)
    assert resized(100, 300, (1.0, 1.0), (0.5, 2.0), rng) == Box(0, 50, 100, 200)


def test_area_and_shape_are_drawn_as_stated() -> None:
    rng = np.random.default_rng(3)
    boxes = [resized(2000, 2000, (0.1, 0.4), RATIO, rng) for _ in range(4000)]
    areas = np.array([box.width * box.height / 4e6 for box in boxes])
    shapes = np.array([math.log(box.width / box.height) for box in boxes])
    assert abs(areas.mean() - 0.25) < 0.007  # five standard deviations
    assert abs(shapes.mean()) < 0.014
    assert 0.099 < areas.min() < 0.11 < 0.39 < areas.max() < 0.401
    assert -0.29 < shapes.min() < -0.27 < 0.27 < shapes.max() < 0.29
