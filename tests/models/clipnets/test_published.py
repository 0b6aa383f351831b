"""Parameters and cost of 3D networks as the papers, torchvision and mmaction2 state them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinkit.models import data_config
from tinkit.models.clipnets.r3d import mid_channels
from tinkit.models.clipnets.video3d import Video3D
from tinkit.timm_import import import_timm


def meta_model(arch: str, **settings: object) -> Video3D:
    with torch.device("meta"):
        return Video3D(arch, num_classes=400, **settings).eval()  # type: ignore[arg-type]


def million_parameters(model: nn.Module) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def giga_products(model: Video3D, size: int) -> float:
    """Billions of multiplications for one clip: what the papers call FLOPs. PyTorch counts the additions too."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, model.num_segments, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(
    ("arch", "weights"), [("r3d_18", "R3D_18"), ("mc3_18", "MC3_18"), ("r2plus1d_18", "R2Plus1D_18")]
)
def test_torchvision(arch: str, weights: str) -> None:
    """Parameters, cost for 16 frames of 112 x 112, and the pixels' mean and deviation."""
    import_timm()
    from torchvision.models import video as torchvision_video

    published = getattr(torchvision_video, f"{weights}_Weights").KINETICS400_V1
    model = meta_model(arch, num_frames=16, variant="torchvision")
    assert sum(parameter.numel() for parameter in model.parameters()) == published.meta["num_params"]
    assert giga_products(model, 112) == pytest.approx(published.meta["_ops"], abs=0.001)
    pixels = published.transforms()
    assert data_config(model) == (tuple(pixels.mean), tuple(pixels.std))  # type: ignore[arg-type]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arch", "variant", "frames", "speed_ratio", "stated"),
    [
        ("slowfast_50", "pyslowfast", 32, 8, 36.1),  # 4x16
        ("slowfast_50", "pyslowfast", 32, 4, 65.7),  # 8x8
        ("slowfast_101", "pyslowfast", 32, 4, 106),
        ("slowfast_101", "pyslowfast", 64, 4, 213),  # 16x8
        ("slowfast_50", "mmaction2", 32, 8, 36.1),
        ("slowfast_50", "mmaction2", 32, 4, 65.7),
        ("slowfast_50", "x_temporal", 32, 8, 36.1),
        ("slowfast_50", "x_temporal", 32, 4, 65.7 - 0.4),  # its lateral kernel is 5, the paper's 7
    ],
)
def test_cost_of_slowfast(arch: str, variant: str, frames: int, speed_ratio: int, stated: float) -> None:
    """Feichtenhofer et al. 2019, table 2: GFLOPs of one view of 256 x 256 pixels."""
    model = meta_model(arch, variant=variant, num_frames=frames, speed_ratio=speed_ratio)
    assert giga_products(model, 256) == pytest.approx(stated, rel=0.005)


@pytest.mark.parametrize(
    ("arch", "speed_ratio", "stated"), [("slowfast_50", 8, 34.5), ("slowfast_50", 4, 34.6), ("slowfast_101", 4, 62.9)]
)
def test_parameters_of_slowfast(arch: str, speed_ratio: int, stated: float) -> None:
    """mmaction2's table of its SlowFast models; the paper states none."""
    model = meta_model(arch, variant="mmaction2", speed_ratio=speed_ratio)
    assert million_parameters(model) == pytest.approx(stated, abs=0.05)


@pytest.mark.parametrize(
    ("arch", "variant", "stated"),
    [
        ("r3d_18", "torchvision", 33.4),
        ("r3d_18", "x_temporal", 33.4),
        ("mc3_18", "torchvision", 11.7),
        ("r2plus1d_18", "x_temporal", 33.3),
    ],
)
def test_parameters_of_r3d(arch: str, variant: str, stated: float) -> None:
    """Tran et al. 2018, table 2, in millions."""
    assert million_parameters(meta_model(arch, variant=variant)) == pytest.approx(stated, abs=0.1)


def test_cost_of_r2plus1d_34() -> None:
    """152 GFLOPs for 32 frames of 112 x 112 (Feichtenhofer et al. 2019, table 2), but for X-Temporal's wider stem."""
    model = meta_model("r2plus1d_34", variant="x_temporal", num_frames=32, stem_pool=False)
    wider = (83 - 45) * (3 * 49 + 3 * 64) * 32 * 56 * 56 / 1e9
    assert giga_products(model, 112) - wider == pytest.approx(152, abs=0.5)


def test_mid_channels_keep_the_parameters_of_the_whole() -> None:
    assert mid_channels(3, 64, (3, 7, 7)) == 83
    for channels, out in ((64, 64), (64, 128), (512, 512)):
        mid = mid_channels(channels, out, (3, 3, 3))
        parted = [count * (9 * channels + 3 * out) for count in (mid, mid + 1)]
        assert parted[0] <= 27 * channels * out < parted[1]
