"""Frames to what a network reads: the definition in float64, in every precision and layout, natively and without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.native_levels import LEVELS, using_level
from tinkit.ops import native, normalise
from tinkit.ops.normalise import normalised

UNIT = {torch.float32: 2**-23, torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float64: 2**-23}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.fixture(params=LEVELS, scope="module")
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this processor has."""
    with using_level(native.state().library, request.param) as name:
        yield name


def some_images(shape: tuple[int, int, int, int], layout: str, seed: int) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    if layout == "frames":  # as data sets give them
        images = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    elif layout == "apart":
        images = torch.from_numpy(rng.integers(0, 256, (*shape[:3], 2 * shape[3]), np.uint8))[..., ::2]
    mean, scale = (
        torch.from_numpy(rng.uniform(low, high, (1, shape[1], 1, 1))).float() for low, high in ((90, 140), (0.01, 0.02))
    )
    return images, mean, scale


def check(found: torch.Tensor, images: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> None:
    wanted = (images.double() - mean.double()) * scale.double()
    # rounding of the result, and of the difference or product that it is made of
    error = UNIT[found.dtype] * wanted.abs() + 2**-22 * 255 * scale.double()
    assert ((found.double() - wanted).abs() <= error).all()


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 10]), st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["contiguous", "frames", "apart"]),
    st.sampled_from(list(FORMATS)),
    st.sampled_from(list(UNIT)),
    st.integers(0, 999),
)
def test_every_layout_and_precision(
    level: str, shape: tuple[int, int, int, int], layout: str, into: str, dtype: torch.dtype, seed: int
) -> None:
    images, mean, scale = some_images(shape, layout, seed)
    found = normalised(images, mean, scale, dtype=dtype, memory_format=FORMATS[into])
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=FORMATS[into])
    check(found, images, mean, scale)
    plain = torch.empty_like(found)
    normalise._normalise(plain, images, mean, scale)
    check(plain, images, mean, scale)


@pytest.mark.parametrize("into", FORMATS)
def test_float32_is_what_subtracting_and_multiplying_give(level: str, into: str) -> None:
    images, mean, scale = some_images((2, 3, 33, 47), "frames", 1)
    wanted = images.float().sub_(mean).mul_(scale)
    assert torch.equal(normalised(images, mean, scale, memory_format=FORMATS[into]), wanted)
    for dtype in (torch.bfloat16, torch.float16):
        found = normalised(images, mean, scale, dtype=dtype, memory_format=FORMATS[into])
        assert torch.equal(found, wanted.to(dtype))  # rounded once, as autocast does it


def test_nothing_comes_of_nothing() -> None:
    images, mean, scale = some_images((2, 3, 4, 5), "frames", 1)
    assert normalised(images[:0], mean, scale).shape == (0, 3, 4, 5)


def test_other_images_are_refused() -> None:
    if native.state().library is None:
        pytest.skip("no native kernels here")
    images, mean, scale = some_images((2, 3, 4, 5), "frames", 1)
    for wrong in (images[:1], images.float(), images[:, :2]):
        with pytest.raises(RuntimeError, match="normalise_into_: expected"):
            torch.ops.tinkit.normalise_into_(torch.empty(2, 3, 4, 5), wrong, mean, scale)


def test_under_autocast_and_in_inference() -> None:
    images, mean, scale = some_images((2, 3, 4, 5), "frames", 1)
    plain = normalised(images, mean, scale)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(normalised(images, mean, scale), plain)
