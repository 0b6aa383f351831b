"""Random operations on the colours and the geometry of training clips: the same for all frames of a clip.

RandAugment (Cubuk et al. 2019, arXiv 1909.13719) is timm's, colour jitter is made of torchvision's functions, both on
8-bit images. What they draw, they draw from a clip's own generator. Importing this module loads neither library.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from tinkit.data.config.views import ClipConfig
from tinkit.data.decode.clip_reader import Frame
from tinkit.timm_import import import_timm

Operation = Callable[[Image.Image], Image.Image]

_GREY = (124, 116, 104)  # where an operation uncovers pixels: ImageNet's mean, as in timm's training
_SHIFT = 0.45  # the farthest absolute translation, in sides of the image: timm's


class Augmentation:
    """What ``clip.rand_augment`` and ``clip.colour_jitter`` say: the jitter first, then RandAugment."""

    def __init__(self, clip: ClipConfig) -> None:
        self._jitter = clip.colour_jitter
        self._rand_augment = None if clip.rand_augment is None else _rand_augment(clip.rand_augment, clip.size)

    def draw(self, rng: np.random.Generator) -> Callable[[Frame], Frame]:
        """The operation of one clip: uint8 (H, W, 3) to a new array of that shape, alike whenever it is called."""
        steps: list[Operation] = []
        if self._jitter is not None:
            steps.append(_drawn_jitter(self._jitter, rng))
        if self._rand_augment is not None:
            steps.append(_frozen(self._rand_augment, int(rng.integers(2**32))))

        def augment(frame: Frame) -> Frame:
            image = Image.fromarray(np.ascontiguousarray(frame))
            for step in steps:
                image = step(image)
            return np.asarray(image)

        return augment


def _rand_augment(config: str, size: int) -> Operation:
    import_timm()
    from timm.data.auto_augment import rand_augment_transform

    made: Operation = rand_augment_transform(config, {"translate_const": int(size * _SHIFT), "img_mean": _GREY})
    return made


def _frozen(operation: Operation, seed: int) -> Operation:
    """``operation`` with the draws of ``seed`` every time."""

    def run(image: Image.Image) -> Image.Image:
        with _seeded(seed):
            return operation(image)

    return run


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The generators that timm draws from, Python's and NumPy's global ones, seeded; then as they were."""
    ours, numpys = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


def _drawn_jitter(amounts: tuple[float, float, float, float], rng: np.random.Generator) -> Operation:
    """Brightness, contrast and saturation times a factor from ``1 - amount..1 + amount`` (0 at least), hue plus a part
    of the circle from ``-amount..amount``, in an order that is drawn: torchvision's ColorJitter."""
    import_timm()  # makes torchvision importable
    from torchvision.transforms import functional

    adjust: tuple[Any, ...] = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    order = rng.permutation(4).tolist()
    factors = [rng.uniform(max(0.0, 1.0 - amount), 1.0 + amount) for amount in amounts[:3]]
    factors.append(rng.uniform(-amounts[3], amounts[3]))

    def run(image: Image.Image) -> Image.Image:
        for number in order:
            if amounts[number] > 0:
                image = adjust[number](image, factors[number])
        return image

    return run
