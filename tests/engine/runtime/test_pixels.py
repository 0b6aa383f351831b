"""What a network is given: frames as its backbone's weights want them, in the precision in which it will read them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tinkit.engine.runtime.pixels import Pixels
from tinkit.engine.runtime.precision import autocast

CPU = torch.device("cpu")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def pixels(modality: str = "rgb", *, channels_last: bool = True) -> Pixels:
    model: Any = SimpleNamespace(
        backbone=SimpleNamespace(pretrained_cfg={"mean": MEAN, "std": STD}), modality=modality, flow_length=2
    )
    return Pixels(model, CPU, channels_last=channels_last)


def frames(channels: int) -> torch.Tensor:
    """(2, 3, C, 9, 11), in memory as data sets give them."""
    drawn = torch.randint(0, 256, (2, 3, 9, 11, channels), generator=torch.Generator().manual_seed(0))
    return drawn.byte().movedim(-1, -3)


@pytest.mark.parametrize("channels_last", [False, True])
def test_rgb_by_the_definition(channels_last: bool) -> None:
    clips = frames(3)
    found = pixels(channels_last=channels_last)(clips)
    wanted = (clips.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), wanted, rtol=1e-6, atol=2e-6)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.flatten(0, 1).is_contiguous(memory_format=layout)


def test_differences_are_not_centred() -> None:
    clips = frames(9)
    found = pixels("rgb_diff")(clips)
    wanted = (clips.double()[:, :, 3:] - clips.double()[:, :, :-3]) / 255
    assert torch.allclose(found.double(), wanted, atol=1e-6)


@pytest.mark.parametrize("modality", ["rgb", "flow", "rgb_diff", "audio"])
def test_a_network_under_autocast_sees_what_it_would_make_of_float32(modality: str) -> None:
    channels, wanted = {"rgb": (3, 3), "flow": (4, 4), "rgb_diff": (9, 6), "audio": (1, 1)}[modality]
    network = nn.Conv2d(wanted, 4, 3).eval()
    clips = frames(channels)
    made = pixels(modality)
    assert made(clips, "bf16").dtype == torch.bfloat16
    with torch.inference_mode(), autocast("cpu", "bf16"):
        assert torch.equal(network(made(clips, "bf16").flatten(0, 1)), network(made(clips).flatten(0, 1)))
