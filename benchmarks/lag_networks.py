"""The networks of the study of lags: what they are, how they are trained, and what is measured on them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.lag_clips import KINDS, SPEC, LagClips
from tinkit.models import TemporalInterlace, VideoClassifier, record_steering
from tinkit.models.temporal.rtcn import RegularisedConv2d

EPOCHS, BATCH, WARM = 8, 32, 1
PLACES = {"one block": "layer1.*.conv1", "every block": None}
"""Where temporal modules go: before one convolution, or the published place, which is one in each of four blocks."""


class Network(NamedTuple):
    """One row of the study: the network's settings, and the two offsets of every layer, where they are set by hand.

    ``by_hand`` makes them (N, 2) of the true lags (N, 1).
    """

    settings: dict[str, Any]
    by_hand: Callable[[Tensor], Tensor] | None = None


_TIN = {"temporal": "tin", "offset_init": 1.0}
NETWORKS = {
    "TSN": Network({"temporal": "tsn"}),
    "TSM": Network({"temporal": "tsm"}),
    "r-TCN": Network({"temporal": "rtcn", "offset_init": 1.0}),
    "TIN, fixed": Network({**_TIN, "offsets": "fixed"}),
    "TIN, learned once": Network({**_TIN, "offsets": "once"}),
    "TIN, from the clip": Network(_TIN),
    "TIN, fixed at 1 and 2": Network(
        {**_TIN, "offsets": "fixed"}, lambda lags: torch.cat([0 * lags + 1, 0 * lags + 2], 1)
    ),
    "TIN, told the lag": Network({**_TIN, "offsets": "fixed"}, lambda lags: torch.cat([lags / 2, lags / 2], 1)),
}


def train(network: Network, place: str, rate: float, seed: int, data: LagClips) -> tuple[nn.Module, float]:
    """A trained network and the CPU seconds it took: SGD, one epoch of warm-up, half-cosine to zero, bfloat16."""
    began = time.process_time()
    torch.manual_seed(seed)
    where = {} if network.settings["temporal"] == "tsn" else {"place": PLACES[place]}
    model = VideoClassifier(
        "test_resnet", num_classes=len(SPEC.actions), num_segments=SPEC.frames, dropout=0.0, zero_init_last=False,
        classifier_std=0.05, **network.settings, **where,
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    order = torch.Generator().manual_seed(seed)
    steps = len(data.labels) // BATCH
    for step in range(EPOCHS * steps):
        if step % steps == 0:
            rows = torch.randperm(len(data.labels), generator=order)
        some = rows[step % steps * BATCH :][:BATCH]
        optimizer.param_groups[0]["lr"] = rate * _share(step / steps)
        loss = F.cross_entropy(logits(model, network, data, some), data.labels[some])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimizer.step()
    return model.eval(), time.process_time() - began


def _share(epoch: float) -> float:
    """Of the learning rate, at a fractional epoch."""
    if epoch < WARM:
        return 0.1 + 0.9 * epoch / WARM
    return 0.5 * (1 + math.cos(math.pi * (epoch - WARM) / (EPOCHS - WARM)))


def logits(model: nn.Module, network: Network, data: LagClips, rows: Tensor) -> Tensor:
    """(N, classes) float32 of the clips ``rows``."""
    some = LagClips(*(part[rows] for part in data))
    by_hand = None if network.by_hand is None else network.by_hand(some.lags[:, None])
    with steered(model, by_hand), torch.autocast("cpu", torch.bfloat16):
        found: Tensor = model(video_of(some))
    return found.float()


def video_of(data: LagClips) -> Tensor:
    """(N, T, 3, H, W) as networks take it."""
    frames = ((data.frames.float() / 255 - 0.45) / 0.225).flatten(0, 1)
    return frames.contiguous(memory_format=torch.channels_last).unflatten(0, (len(data.labels), -1))


@contextmanager
def steered(model: nn.Module, two: Tensor | None) -> Iterator[None]:
    """Let ``two`` (N, 2) and their opposites be the offsets of every layer; what networks find, where it is None."""

    def given(_module: nn.Module, _inputs: Any, found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        assert two is not None
        return torch.cat([two, -two], 1), found[1]

    taps = [] if two is None else [module.steering for module in _interlaces(model)]
    handles = [tap.register_forward_hook(given, prepend=True) for tap in taps]  # before what records it
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _interlaces(model: nn.Module) -> Iterator[TemporalInterlace]:
    return (module for module in model.modules() if isinstance(module, TemporalInterlace))


def measure(model: nn.Module, network: Network, data: LagClips) -> dict[str, float]:
    """In percent: top-1, and for each kind of lag how often an action scores higher than its twin."""
    with torch.inference_mode():
        found = torch.cat([logits(model, network, data, rows) for rows in torch.arange(len(data.labels)).split(100)])
    values = {"top1": _percent(found.argmax(1) == data.labels)}
    for kind in KINDS:
        twins = torch.tensor([index for index, action in enumerate(SPEC.actions) if action.motion == kind])
        rows = torch.isin(data.labels, twins)
        values[kind] = _percent(twins[found[rows][:, twins].argmax(1)] == data.labels[rows])
    return values


def _percent(right: Tensor) -> float:
    return round(100 * right.float().mean().item(), 2)


def offsets_by_lag(model: nn.Module, network: Network, data: LagClips) -> list[dict[str, Any]]:
    """A row for each layer and true lag, to a quarter of a frame: the mean offset of each group over such clips."""
    layers: dict[str, Tensor] = {}
    with torch.inference_mode(), record_steering(model) as record:
        for rows in torch.arange(len(data.labels)).split(100):
            logits(model, network, data, rows)
    for name, steered in record.items():
        layers[name] = torch.cat([offset for offset, _ in steered]).float()
    for name, module in model.named_modules():
        if isinstance(module, RegularisedConv2d):
            layers[name] = module.temporal.centre().detach().expand(len(data.labels), -1)
    lags = (4 * data.lags).round() / 4
    return [
        {"layer": name.removeprefix("backbone.").partition(".")[0], "lag": lag, "clips": int((lags == lag).sum())}
        | {f"group_{group}": round(offset[lags == lag, group].mean().item(), 4) for group in range(4)}
        for name, offset in layers.items()
        for lag in sorted(set(lags.tolist()))
    ]
