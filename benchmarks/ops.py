"""The operators beside copies of the same bytes and beside plain PyTorch; rows go to benchmarks/results/ops.csv.

    python -m benchmarks.ops [--threads N] [--pairs 42] [--only ROW ...] [--out FILE] [--markdown FILE]

The features are the inputs of ResNet-50's blocks at 224 px, 2 clips of 8 frames; a quarter of the channels moves. What
is read is cold: every call reads the next of many copies, which together are eight times all L2 caches or, where that
is a sixteenth of the free memory at most, twice the L3 cache. What is written goes where the allocator puts it, for
both sides alike, and large buffers are kept (`tinkit.pages`), for both sides alike. Small features are read several
times, each from its own copy, to make one sample. The rows of "16 blocks" add each block of ResNet-50 up, pair by pair.
"""

# ruff: noqa: E402  (buffers are kept before there are threads, which PyTorch would start)

from __future__ import annotations

from tinkit.pages import keep_buffers

KEPT = keep_buffers()

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.pairs import Bound, Row, Timer, Times, paired, timed_row, timer
from benchmarks.reference_tin import two_gathers
from benchmarks.tables import Table, options, setting_of
from tinkit.ops import interlace, interlace_fold, native
from tinkit.ops.gather import gather_backward, gather_forward

CLIPS, FRAMES, GROUPS = 2, 8, 4
SHAPES = ((64, 56, 1), (256, 56, 3), (512, 28, 4), (1024, 14, 6), (2048, 7, 2))  # channels, side, blocks that read it
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
SAMPLE = 32 << 20  # bytes that the calls of one sample read at least
GROUPS_OF_ROWS = (
    "clone", "interlace", "fold", "backward",
    "plain-forward", "plain-backward", "published-forward", "published-backward",
)  # fmt: skip


class Features:
    """Many copies of a block's input and of a gradient; whoever asks gets the next."""

    def __init__(self, channels: int, side: int, dtype: torch.dtype, layout: torch.memory_format, walk: int) -> None:
        shape = (CLIPS * FRAMES, channels, side, side)
        first = torch.randn(shape).to(dtype).contiguous(memory_format=layout)
        size = first.numel() * first.element_size()
        count = max(3, -(-walk // size)) // 2 * 2 + 1  # odd: then both sides of a pair come to every copy
        self.x = [first.clone() for _ in range(count)]
        self.grad = [torch.randn(shape).to(dtype).contiguous(memory_format=layout)]
        self.grad += [self.grad[0].clone() for _ in range(count - 1)]
        self.layout, self.fold = layout, channels // 4
        learned = torch.empty(CLIPS, GROUPS // 2).uniform_(-2, 2)
        self.offset = torch.cat([learned, -learned], 1)
        self.gain = torch.empty(CLIPS, FRAMES, GROUPS).uniform_(0, 2)
        self.calls = max(1, SAMPLE // size)
        self._last = 0

    def walking(self, call: Callable[[int], object]) -> Timer:
        """Times ``call``, given the number of a copy, in milliseconds a call."""

        def several() -> None:
            for _ in range(self.calls):
                self._last = (self._last + 1) % len(self.x)
                call(self._last)

        timed = timer(several)
        return lambda: timed() / self.calls


class Title(NamedTuple):
    """What a row is called, and its bound."""

    what: str
    against: str
    bound: Bound | None = None


@dataclass(frozen=True)
class Comparison:
    """What is timed against what, each as a function of a copy's number."""

    title: Title
    first: Callable[[int], object]
    second: Callable[[int], object]
    records: bool = False  # for autograd, which inference mode would stop

    def times(self, features: Features, pairs: int) -> Times:
        """Both sides, timed in pairs."""
        mode: AbstractContextManager[object] = nullcontext() if self.records else torch.inference_mode()
        with mode:
            return paired(features.walking(self.first), features.walking(self.second), pairs)


def against_copies(group: str, f: Features) -> Comparison:
    """An operator beside the copy that the targets name, or a copy beside itself."""

    def clone(i: int) -> object:
        return f.x[i].clone()

    def both(i: int) -> object:
        return f.x[i].clone(), f.grad[i].clone()

    if group == "clone":
        return Comparison(Title("x.clone()", "x.clone()"), clone, clone)
    if group == "backward":
        return Comparison(Title("interlace_backward", "x.clone() twice", Bound(1.5)), _backward(f), both)
    if group == "fold":
        return Comparison(Title("interlace_fold", "strided copy of the fold", Bound(1.2)), _fold(f), _fold_copy(f))
    limit = 1.4 if f.x[0].dtype == torch.float32 else 1.6
    return Comparison(Title("interlace", "x.clone()", Bound(limit)), _forward(f), clone)


def against_native(group: str, f: Features) -> Comparison:
    """Ways in PyTorch's own operations beside the native kernels."""
    five = Bound(5, "at least")

    def plain_forward(i: int) -> object:
        return gather_forward(f.x[i], f.offset, f.gain, f.fold)

    def plain_backward(i: int) -> object:
        return gather_backward(f.grad[i], f.x[i], f.offset, f.gain, f.fold)

    def published_forward(i: int) -> object:
        return two_gathers(f.x[i], f.offset, f.gain, f.fold)

    if group == "plain-forward":
        return Comparison(Title("plain PyTorch", "interlace", five), plain_forward, _forward(f))
    if group == "plain-backward":
        return Comparison(Title("plain PyTorch, backward", "interlace_backward", five), plain_backward, _backward(f))
    if group == "published-forward":
        return Comparison(Title("two full gathers", "interlace"), published_forward, _forward(f))
    return Comparison(
        Title("two full gathers, autograd", "interlace_backward"), _autograd(f), _backward(f), records=True
    )


def _forward(f: Features) -> Callable[[int], object]:
    return lambda i: interlace(f.x[i], f.offset, f.gain, f.fold)


def _backward(f: Features) -> Callable[[int], object]:
    operator = torch.ops.tinkit.interlace_backward
    return lambda i: operator(f.grad[i], f.x[i], f.offset, f.gain, f.fold)


def _fold(f: Features) -> Callable[[int], object]:
    return lambda i: interlace_fold(f.x[i], f.offset, f.gain, f.fold)


def _fold_copy(f: Features) -> Callable[[int], object]:
    batch, _, height, width = f.x[0].shape
    shape, dtype = (batch, f.fold, height, width), f.x[0].dtype
    return lambda i: torch.empty(shape, dtype=dtype, memory_format=f.layout).copy_(f.x[i][:, : f.fold])


def _autograd(f: Features) -> Callable[[int], object]:
    """The backward pass of graphs that are recorded here, one for each copy, and kept."""
    steering = (f.offset.clone().requires_grad_(), f.gain.clone().requires_grad_())
    inputs = [x.detach().requires_grad_() for x in f.x]
    outputs = [two_gathers(x, *steering, f.fold) for x in inputs]
    return lambda i: torch.autograd.grad(outputs[i], (inputs[i], *steering), f.grad[i], retain_graph=True)


def rows(groups: list[str], pairs: int, walk: int) -> Iterator[Row]:
    """The rows of each dtype and layout: by shape, then added up."""
    for (dtype_name, dtype), (layout_name, layout) in product(DTYPES.items(), LAYOUTS.items()):
        column = f"{dtype_name} {layout_name}"
        totals: dict[Title, Times] = {}
        for channels, side, blocks in SHAPES:
            features = Features(channels, side, dtype, layout, walk)
            for group in groups:
                found = (against_native if "-" in group else against_copies)(group, features)
                times = found.times(features, pairs)
                so_far = totals.get(found.title, np.zeros((2, pairs)))
                totals[found.title] = Times(*np.add(so_far, np.multiply(blocks, times)))
                yield _row(found.title, f"{channels}x{side}x{side}; {column}", times)
        for title, total in totals.items():
            yield _row(title, f"16 blocks; {column}", total)


def _row(title: Title, case: str, times: Times) -> Row:
    return timed_row(title.what, case, title.against, times, title.bound)


def caches() -> dict[int, int]:
    """Bytes of the caches of each level that hold data, all cores together, as Linux tells; empty where it does not."""
    found: dict[tuple[int, str], int] = {}
    for folder in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        kind, size = ((folder / name).read_text().strip() for name in ("type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            level, cores = ((folder / name).read_text().strip() for name in ("level", "shared_cpu_list"))
            found[int(level), cores] = int(size[:-1]) << 10
    return {level: sum(size for (at, _), size in found.items() if at == level) for level, _ in sorted(found)}


def walked_bytes() -> int:
    """Bytes of features that calls walk over before they come to the same again; of gradients as many."""
    found = caches()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    least, wanted = 8 * found.get(2, 8 << 20), 2 * found.get(3, 64 << 20)
    return max(least, wanted if wanted <= free // 16 else 0)


def main() -> None:
    asked = options("ops", "the operators beside copies and plain PyTorch", GROUPS_OF_ROWS, pairs=42)
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    kernels, walk = native.state(), walked_bytes()
    if not kernels.loaded:
        raise SystemExit(f"the native kernels are what is measured: {kernels.problem}")
    cold = f"cold: {walk >> 20} MiB walked (L2 {caches().get(2, 0) >> 20}, L3 {caches().get(3, 0) >> 20})"
    table = Table("ops", setting_of(asked, KEPT, f"kernels for {kernels.level}", cold), asked.out, asked.markdown)
    for found in rows(asked.only, asked.pairs, walk):
        table.add(found)
    table.finish()


if __name__ == "__main__":
    main()
