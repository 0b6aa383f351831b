"""`interlace` on a CUDA device beside a copy and other ways; rows go to benchmarks/results/gpu_ops.csv.

    python -m benchmarks.gpu_ops [--pairs 41] [--out FILE]

64 clips of 8 frames in bfloat16, the inputs of ResNet-50's stages; a quarter of the channels moves. Times are the
device's, between two events, taken in turns. `interlace` reads and writes as many bytes as the copy, so that the copy's
time over its own is the share of the copy's bandwidth that it reaches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.pairs import Bound, Row, Timer, paired, timed_row
from benchmarks.reference_tin import two_gathers
from benchmarks.tables import Table
from tinkit.ops import cuda, interlace, interlace_reference
from tinkit.ops.gather import gather_forward

FRAMES, GROUPS, CLIPS = 8, 4, 64
SHAPES = ((256, 56), (512, 28), (1024, 14), (2048, 7))  # channels, side
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
COPY, COPY_SHARE = "copy of x", Bound(0.9, "at least")  # the share on the two largest shapes
FASTER = Bound(1, "at least")
ASLEEP = 20_000_000  # cycles of the device, about 10 ms: longer than any call takes to queue its kernels
TOLERANCE = 2**-6  # of bfloat16: every way rounds its result once, some their terms too

Way = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def ways() -> dict[str, Way]:
    """What ``interlace`` is held against: each gives the same numbers but the copy."""
    return {
        COPY: lambda x, offset, gain, fold: x.clone(),
        "two full gathers": gathers_on_device,
        "plain PyTorch, compiled": torch.compile(gather_forward, dynamic=False),
        "reference, compiled": torch.compile(interlace_reference, dynamic=False),
    }


def gathers_on_device(x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> Tensor:
    """The published way where ``x`` lies."""
    with torch.device(x.device):
        return two_gathers(x, offset, gain, fold)


def arguments(
    channels: int, side: int, layout: torch.memory_format, device: str, clips: int = CLIPS
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Features (clips * 8, channels, side, side), offsets and gains as learned ones may be, and the fold."""
    shape = (clips * FRAMES, channels, side, side)
    x = torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=layout)
    learned = torch.empty(clips, GROUPS // 2, device=device).uniform_(-2, 2)
    gain = torch.empty(clips, FRAMES, GROUPS, device=device).uniform_(0, 2)
    return x, torch.cat([learned, -learned], 1), gain, channels // 4


def check_agreement(others: dict[str, Way], x: Tensor, offset: Tensor, gain: Tensor, fold: int) -> None:
    """Raise ``AssertionError`` unless all ways but the copy give what ``interlace`` does."""
    wanted = interlace(x, offset, gain, fold)
    for name, way in others.items():
        found = wanted if name == COPY else way(x, offset, gain, fold)
        assert torch.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE), f"{name} gives other numbers"


def device_timer(call: Callable[[], object]) -> Timer:
    """Times what ``call`` has the device do, without the gaps while it is being asked for."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def timed() -> float:
        torch.cuda._sleep(ASLEEP)  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return timed


def rows(pairs: int) -> Iterator[Row]:
    """The rows of each shape and layout."""
    for (channels, side), (layout_name, layout) in product(SHAPES, LAYOUTS.items()):
        torch.compiler.reset()  # the compiled ways are compiled for one shape at a time
        others, given = ways(), arguments(channels, side, layout, "cuda")
        with torch.inference_mode():
            check_agreement(others, *given)
            for name, way in others.items():
                times = paired(device_timer(partial(way, *given)), device_timer(partial(interlace, *given)), pairs)
                bound = FASTER if name != COPY else COPY_SHARE if (channels, side) in SHAPES[:2] else None
                yield timed_row(name, f"{channels}x{side}x{side}; {layout_name}", "interlace", times, bound)


def main() -> None:
    parser = argparse.ArgumentParser(description="interlace on a CUDA device beside a copy and other ways")
    parser.add_argument("--pairs", type=int, default=41, help="of each row (41; targets ask for 21 or more)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu_ops.csv")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: this benchmark measures the CUDA kernels and needs one")
    if not cuda.load():
        raise SystemExit(f"the CUDA kernels are what is measured: {cuda.state().problem}")
    torch.manual_seed(0)
    card = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {cuda.state().compiler}"
    table = Table("gpu_ops", f"{card}; {machine('torch')}; bfloat16, {CLIPS} clips of {FRAMES}", asked.out, None)
    for row in rows(asked.pairs):
        table.add(row)
    table.finish()


if __name__ == "__main__":
    main()
