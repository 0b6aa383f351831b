"""What holds a training back, its data or its model, and how many data workers that makes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import torch

from tinkit.data.config.modality import read_channels
from tinkit.data.config.views import image_shape
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import limit_threads
from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import Amp, autocast, settle_amp
from tinkit.recipe import Recipe

_LONG = 2.0  # seconds of a step behind which no larger one is tried
_SPARE = 1.1  # more than is needed, for clips that take longer


@dataclass(frozen=True)
class Speeds:
    """What was measured: of a clip the milliseconds of the processor (``cpu_ms``) and of waiting for the disk
    (``waiting_ms``) that it costs a data worker, the most clips a second that data workers ``made``, and those that the
    ``model`` takes (None: unknown).
    """

    cpu_ms: float
    waiting_ms: float
    made: float
    model: float | None


@dataclass(frozen=True)
class Balance:
    """``held_back_by`` is ``data``, ``model``, or ``unknown`` where the model's speed is; ``workers`` to choose.

    ``needed`` is how many cores making the clips takes at the model's speed, None where that is unknown.
    """

    held_back_by: Literal["data", "model", "unknown"]
    workers: int
    needed: float | None


def balance(speeds: Speeds, cores: int, *, shared: bool) -> Balance:
    """What holds training back, and the data workers to choose.

    On a GPU the workers have the ``cores`` to themselves, and should make what the model takes and a tenth more, with
    up to two a core where they wait for the disk longer than they compute. Where the model computes on the same cores
    (``shared``), both share them in proportion to what a clip costs each, and the dearer one holds the other back.
    """
    if speeds.model is None:
        return Balance("unknown", cores, None)
    needed = speeds.model * speeds.cpu_ms / 1000
    if shared:
        share = needed / (needed + cores)  # a clip costs the model cores / speeds.model seconds of one
        return Balance("data" if needed > cores else "model", max(1, min(cores, math.ceil(cores * share))), needed)
    busy = speeds.model * (speeds.cpu_ms + speeds.waiting_ms) / 1000
    most = 2 * cores if speeds.waiting_ms > speeds.cpu_ms else cores
    return Balance(
        "data" if speeds.made < speeds.model else "model", max(1, min(most, math.ceil(_SPARE * busy))), needed
    )


def model_speed(recipe: Recipe, classes: int, device: torch.device, most: int) -> tuple[float, int]:
    """Clips a second of forward and backward passes on noise, and the clips of the pass that was measured.

    From two clips on the passes double, up to ``most`` clips or a pass of two seconds. The optimiser is not in it.
    """
    limit_threads()
    model = build_model(recipe, classes, pretrained=False).to(device).train()
    pixels = Pixels(model, device, channels_last=recipe.train.channels_last)
    clip, amp = recipe.clip, settle_amp(recipe.train.amp, device.type)
    shape = (clip.num_segments, read_channels(clip.modality, clip.flow_length), *image_shape(clip))
    best, clips, measured = 0.0, 2, 0  # BatchNorm wants two
    while True:
        frames = torch.randint(0, 256, (clips, *shape), dtype=torch.uint8)
        seconds = min(_timed_pass(model, pixels, frames, device, amp) for _ in range(2))
        if clips / seconds > best:
            best, measured = clips / seconds, clips
        if 2 * clips > most or seconds > _LONG:
            return best, measured
        clips *= 2


def _timed_pass(model: torch.nn.Module, pixels: Pixels, frames: torch.Tensor, device: torch.device, amp: Amp) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    with autocast(device.type, amp):
        loss = model(pixels(frames, amp)).float().square().mean()
    loss.backward()
    model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
