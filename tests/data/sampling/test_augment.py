"""Augmentation: the pixels of timm and torchvision, one draw for a clip, nothing drawn from other generators."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from PIL import Image

from tests.helpers.video_files import moving_pixels
from tinkit.data.config.views import ClipConfig
from tinkit.data.sampling.augment import Augmentation
from tinkit.timm_import import import_timm

CONFIG = "rand-m7-n4-mstd0.5-inc1"
FRAMES = moving_pixels(4, 48, 48)


def test_every_frame_has_the_operations_that_one_seed_draws() -> None:
    """timm's transform, called by itself after its generators were seeded with the clip's number."""
    import_timm()
    from timm.data.auto_augment import rand_augment_transform

    own = rand_augment_transform(CONFIG, {"translate_const": int(48 * 0.45), "img_mean": (124, 116, 104)})
    changed = 0
    for seed in range(12):
        augment = Augmentation(ClipConfig(size=48, rand_augment=CONFIG)).draw(np.random.default_rng(seed))
        number = int(np.random.default_rng(seed).integers(2**32))
        for frame in FRAMES:
            random.seed(number)
            np.random.seed(number)
            expected = np.asarray(own(Image.fromarray(frame)))
            assert np.array_equal(augment(frame), expected)
            changed += not np.array_equal(expected, frame)
    assert changed > 24


def test_nothing_is_drawn_from_the_generators_of_others() -> None:
    augment = Augmentation(ClipConfig(size=48, rand_augment=CONFIG)).draw(np.random.default_rng(0))
    random.seed(5)
    np.random.seed(5)
    wanted = [random.random(), np.random.random()]
    random.seed(5)
    np.random.seed(5)
    augment(FRAMES[0])
    assert [random.random(), np.random.random()] == wanted


def test_a_copy_in_another_process_draws_the_same() -> None:
    one = Augmentation(ClipConfig(size=48, rand_augment=CONFIG, colour_jitter=(0.4, 0.4, 0.4, 0.1)))
    other = pickle.loads(pickle.dumps(one))
    for seed in range(4):
        both = [a.draw(np.random.default_rng(seed))(FRAMES[1]) for a in (one, other)]
        assert np.array_equal(*both)


@pytest.mark.parametrize(
    "text", ["rand", "rand-m9-n3", "rand-m15-mmax30-n1", "rand-p0.5-inc0", "rand-p1-m9-n4-mstd101", "rand-mstd0.25"]
)
def test_what_the_key_takes_timm_takes(text: str) -> None:
    augment = Augmentation(ClipConfig(size=48, rand_augment=text)).draw(np.random.default_rng(0))
    found = augment(FRAMES[0])
    assert (found.shape, found.dtype) == ((48, 48, 3), np.uint8)


def test_colour_jitter_is_the_four_changes_in_the_drawn_order() -> None:
    import_timm()
    from torchvision.transforms import functional

    amounts = (0.4, 0.3, 0.2, 0.1)
    for seed in range(12):
        augment = Augmentation(ClipConfig(colour_jitter=amounts)).draw(np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        order = list(rng.permutation(4))
        factors = [1 - a + 2 * a * rng.random() for a in amounts[:3]] + [-0.1 + 0.2 * rng.random()]
        names = ("brightness", "contrast", "saturation", "hue")
        for frame in FRAMES:
            image = Image.fromarray(frame)
            for number in order:
                image = getattr(functional, f"adjust_{names[number]}")(image, factors[number])
            assert np.abs(augment(frame).astype(int) - np.asarray(image).astype(int)).max() <= 1


def test_an_amount_of_zero_changes_nothing() -> None:
    augment = Augmentation(ClipConfig(colour_jitter=(0, 0, 0, 0))).draw(np.random.default_rng(0))
    assert np.array_equal(augment(FRAMES[0]), FRAMES[0])
