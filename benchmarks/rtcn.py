"""The regularised temporal convolution beside TIN, which stands for it; rows go to benchmarks/results/rtcn.csv.

    python -m benchmarks.rtcn [--threads N] [--pairs 22] [--only ROW ...] [--out FILE] [--markdown FILE]

The paper (arXiv 2001.06499) says that TIN takes a sixth of the latency. Here the convolution of five frames that TIN
and the convolution behind it equal is computed the long way, all taps and all channels, in each of the ways below, with
its kernel made beforehand. Per shape the fastest counts, both alone and in the network, where each layer takes the way
that a short trial finds the fastest for it. All ways are checked to give what TIN gives for the same offsets and gains.

ResNet-50 at 224 px, 2 clips of 8 frames, channels_last; large buffers are kept (`tinkit.pages`) for both sides alike.
Rows of "16 blocks" add each block up, pair by pair; features are read from many copies in turn, as in `ops.py`.
bfloat16 is autocast in the network; in the rows of layers, features and weights are of that type.
"""

# ruff: noqa: E402  (buffers are kept before there are threads, which PyTorch would start)

from __future__ import annotations

from tinkit.pages import keep_buffers

KEPT = keep_buffers()

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.models import DTYPES, check_logits, inference, laid_out
from benchmarks.ops import Features
from benchmarks.pairs import Row, Times, paired, timed_row, timer
from benchmarks.reference_tin import CLIPS, FRAMES, build, clips
from benchmarks.tables import Table, options, setting_of
from tinkit.models import TemporalConv2d, TemporalInterlace, VideoClassifier
from tinkit.models.temporal.rtcn import REACH, TAPS, RegularisedConv2d

TRIALS = 7
WALK = 256 << 20  # bytes of features before the same ones come again: far beyond a core's own caches
Way = Callable[[Tensor, Tensor], Tensor]  # features (B*T, C, H, W), kernel (5, O, C): (B*T, O, H, W)


class Shape(NamedTuple):
    """The first convolution of some blocks of ResNet-50, which is 1x1, and how many blocks have it."""

    channels: int
    out_channels: int
    side: int
    blocks: int


SHAPES = (
    Shape(64, 64, 56, 1), Shape(256, 64, 56, 2), Shape(256, 128, 56, 1), Shape(512, 128, 28, 3), Shape(512, 256, 28, 1),
    Shape(1024, 256, 14, 5), Shape(1024, 512, 14, 1), Shape(2048, 512, 7, 2),
)  # fmt: skip


def taps_then_frames(x: Tensor, kernel: Tensor) -> Tensor:
    """One 2D convolution to five times the channels, whose parts are added up frame by frame: as the model does."""
    taps = F.conv2d(x, kernel.flatten(0, 1)[..., None, None]).unflatten(0, (-1, FRAMES)).unflatten(2, (TAPS, -1))
    out = taps[:, :, REACH].clone()
    for frames in range(1, REACH + 1):
        out[:, frames:] += taps[:, :-frames, REACH + frames]
        out[:, :-frames] += taps[:, frames:, REACH - frames]
    return out.flatten(0, 1)


def frames_then_taps(x: Tensor, kernel: Tensor) -> Tensor:
    """Five frames stacked to one of five times the channels, and one 2D convolution."""
    rows, channels, height, width = x.shape
    stacked = x.new_zeros((rows, height, width, TAPS * channels)).permute(0, 3, 1, 2)
    into, clips_of = stacked.unflatten(0, (-1, FRAMES)).unflatten(2, (TAPS, -1)), x.unflatten(0, (-1, FRAMES))
    into[:, :, REACH] = clips_of
    for frames in range(1, REACH + 1):
        into[:, frames:, REACH + frames] = clips_of[:, :-frames]
        into[:, :-frames, REACH - frames] = clips_of[:, frames:]
    return F.conv2d(stacked, kernel.transpose(0, 1).flatten(1)[..., None, None])


def convolution_in_3d(x: Tensor, kernel: Tensor) -> Tensor:
    """PyTorch's convolution over time and space, which counts its taps from the past on."""
    weight = kernel.flip(0).permute(1, 2, 0)[..., None, None]
    out = F.conv3d(x.unflatten(0, (-1, FRAMES)).transpose(1, 2), weight, padding=(REACH, 0, 0))
    return out.transpose(1, 2).flatten(0, 1)


def matrix_products(x: Tensor, kernel: Tensor) -> Tensor:
    """One product of matrices a tap and clip, added up where the result lies; nothing is copied or stacked."""
    _, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, FRAMES * height * width, channels)
    out = x.new_empty((*pixels.shape[:2], kernel.shape[1]))
    for clip, into in zip(pixels, out, strict=True):
        torch.mm(clip, kernel[REACH].T, out=into)
        for frames in range(1, REACH + 1):
            rows = frames * height * width
            into[rows:].addmm_(clip[:-rows], kernel[REACH + frames].T)
            into[:-rows].addmm_(clip[rows:], kernel[REACH - frames].T)
    return out.unflatten(1, (FRAMES, height, width)).flatten(0, 1).permute(0, 3, 1, 2)


WAYS: dict[str, Way] = {
    "taps, then frames": taps_then_frames,
    "frames, then taps": frames_then_taps,
    "3D convolution": convolution_in_3d,
    "matrix products": matrix_products,
}


class Prepared(nn.Module):
    """An r-TCN's convolution for testing: its kernel made once in each type, by the way that a trial found fastest."""

    def __init__(self, module: RegularisedConv2d) -> None:
        super().__init__()
        kernel = module.kernel()[..., 0, 0].detach()
        self.kernels = {dtype: kernel.to(dtype) for dtype in DTYPES.values()}
        self.ways: dict[torch.dtype, Way] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, out_channels, H, W)."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        x, kernel = x.to(dtype), self.kernels[dtype]
        if dtype not in self.ways:
            self.ways[dtype] = WAYS[fastest({name: partial(way, x, kernel) for name, way in WAYS.items()})]
        return self.ways[dtype](x, kernel)


def fastest(calls: dict[str, Callable[[], object]]) -> str:
    """The name of the call that took the least of some times, taken in turns."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(TRIALS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - start)
    return min(least, key=lambda name: least[name])


def pair_of_layers(shape: Shape, dtype: torch.dtype) -> tuple[TemporalConv2d, RegularisedConv2d]:
    """A TIN and an r-TCN with the same convolution, and with offsets and gains that are the same for every clip."""
    plain = laid_out(nn.Conv2d(shape.channels, shape.out_channels, 1, bias=False)).eval()
    tin = TemporalConv2d(plain, TemporalInterlace(shape.channels, FRAMES, shift_div=4))
    rtcn = RegularisedConv2d(plain, FRAMES, shift_div=4)
    temporal: Any = tin.temporal
    with torch.no_grad():
        temporal.offset_net.fc2.weight.zero_()
        temporal.gain_net.conv.weight.zero_()
        offsets, gains = torch.tensor([0.7, -1.6]), torch.tensor([0.3, -0.4])
        temporal.offset_net.fc2.bias.copy_(offsets)
        temporal.gain_net.conv.bias.copy_(gains)
        rtcn.temporal.centre_logit.copy_(torch.cat([offsets, -offsets]))
        rtcn.temporal.gain_logit.copy_(torch.cat([gains, gains]))
    plain.to(dtype)
    return tin, rtcn


def check_agreement(tin: TemporalConv2d, kernel: Tensor, x: Tensor) -> None:
    """Raise ``AssertionError`` unless every way gives what TIN and its convolution give, up to rounding."""
    wanted = tin(x).float()
    limit = (1e-4 if x.dtype == torch.float32 else 0.05) * float(wanted.abs().max())
    for name, way in WAYS.items():
        far = float((way(x, kernel).float() - wanted).abs().max())
        assert far < limit, f"{name}: {far:.1e} from TIN"


def operator_rows(pairs: int) -> Iterator[Row]:
    """The first convolution of every block: r-TCN in each way, and no temporal module, beside TIN."""
    for column, dtype in DTYPES.items():
        totals: dict[str, Times] = {}
        for shape in SHAPES:
            tin, rtcn = pair_of_layers(shape, dtype)
            features = Features(shape.channels, shape.side, dtype, torch.channels_last, WALK)
            with torch.inference_mode():
                kernel = rtcn.kernel()[..., 0, 0]
                check_agreement(tin, kernel, features.x[0])
                found = layer_times(features, tin, kernel, pairs)
            best = min(WAYS, key=lambda name: float(np.median(found[name].first)))
            found["fastest way"] = found[best]
            case = f"{shape.channels} to {shape.out_channels}, {shape.side}x{shape.side}; {column}"
            for name, times in found.items():
                so_far = totals.get(name, np.zeros((2, pairs)))
                totals[name] = Times(*np.add(so_far, np.multiply(shape.blocks, times)))
                if name != "fastest way":
                    yield timed_row(title(name), case, "TIN + conv1", times)
        for name, total in totals.items():
            yield timed_row(title(name), f"16 blocks; {column}", "TIN + conv1", total)


def layer_times(features: Features, tin: TemporalConv2d, kernel: Tensor, pairs: int) -> dict[str, Times]:
    """Every way, and the plain convolution, each in turns with TIN."""

    def second(i: int) -> Tensor:
        return tin(features.x[i])

    calls: dict[str, Callable[[int], Tensor]] = {
        name: partial(lambda way, i: way(features.x[i], kernel), way) for name, way in WAYS.items()
    }
    calls["conv1 alone"] = lambda i: tin.convolve(features.x[i])
    return {name: paired(features.walking(call), features.walking(second), pairs) for name, call in calls.items()}


def title(name: str) -> str:
    """What a row is called."""
    return name if name == "conv1 alone" else f"r-TCN with conv1, {name}"


def network_rows(pairs: int) -> Iterator[Row]:
    """The whole network: r-TCN in the fastest way of every layer, and TSN, beside TIN."""
    video = clips(torch.channels_last)
    rtcn, tsn, tin = (laid_out(build(cast(Any, kind))) for kind in ("rtcn", "tsn", "tin"))
    prepared = prepare(copy.deepcopy(rtcn))
    for name, dtype in DTYPES.items():
        check_logits(prepared, rtcn, video, dtype)
        second = timer(inference(tin, video, dtype))
        for what, model in (("r-TCN, fastest ways", prepared), ("TSN", tsn)):
            first = timer(inference(model, video, dtype))
            yield timed_row(what, f"network, eager; {name}", "TIN", paired(first, second, pairs))


def prepare(model: VideoClassifier) -> VideoClassifier:
    """The model, every convolution over time replaced by what is fastest."""
    for name, module in list(model.named_modules()):
        if isinstance(module, RegularisedConv2d):
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, Prepared(module))
    return model


GROUPS = {"operator": operator_rows, "network": network_rows}


def main() -> None:
    asked = options("rtcn", "the regularised temporal convolution beside TIN", GROUPS, pairs=22)
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    table = Table("rtcn", setting_of(asked, KEPT, f"{CLIPS} clips of {FRAMES} frames"), asked.out, asked.markdown)
    for group in asked.only:
        for row in GROUPS[group](asked.pairs):
            table.add(row)
    table.finish()


if __name__ == "__main__":
    main()
