"""TIN beside TSN: time and memory of the same network with and without interlacing; rows go to results/models.csv.

    python -m benchmarks.models [--threads N] [--pairs 32] [--only ROW ...] [--out FILE] [--markdown FILE]

ResNet-50, 313 classes, 2 clips of 8 frames of 224 px, channels_last unless a row says otherwise. All kinds have the
same random weights in the backbone, and statistics of BatchNorm that fit them. bfloat16 is autocast. Large buffers are
kept (`tinkit.pages`) for both sides alike, and what makes TSN faster, too, both sides have: where tinkit runs a
backbone's blocks as a chain, it does so for TSN. TSN beside another copy of itself shows the noise. The published way
(`reference_tin.py`) is beside a TSN of timm's own `forward`; it is checked to give the same logits. Clips a second are
those of the published way under PyTorch's defaults (contiguous, float32, buffers not kept: another process, which takes
turns with this one) and of TIN as tinkit chooses to run it here.
"""

# ruff: noqa: E402  (buffers are kept before there are threads, which PyTorch would start)

from __future__ import annotations

from tinkit.pages import keep_buffers

KEPT = keep_buffers()

import copy
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.pairs import Bound, Row, Timer, bytes_row, paired, timed_row, timer
from benchmarks.reference_tin import CLASSES, CLIPS, PlainClassifier, PublishedProcess, build, clips
from benchmarks.tables import Table, options, setting_of
from benchmarks.tensor_bytes import bytes_of, peak_bytes
from tinkit.engine.runtime.precision import settle_amp
from tinkit.models import VideoClassifier
from tinkit.models.batch_norm import merge_batch_norm

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Call = Callable[[], object]
Network = TypeVar("Network", bound=nn.Module)


def autocast(dtype: torch.dtype) -> torch.autocast:
    """Autocast to ``dtype``, which for float32 does nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)


def inference(model: Callable[[Tensor], object], video: Tensor, dtype: torch.dtype) -> Call:
    """A forward pass for testing."""

    def run() -> object:
        with torch.inference_mode(), autocast(dtype):
            return model(video)

    return run


class Training:
    """A step of training: forward, binary cross-entropy, backward, SGD with momentum."""

    def __init__(self, model: VideoClassifier, video: Tensor, dtype: torch.dtype) -> None:
        self.model, self.video, self.dtype = copy.deepcopy(model).train(), video, dtype
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.labels = torch.zeros(CLIPS, CLASSES)
        self.labels[:, ::100] = 1

    def __call__(self) -> None:
        """Do a step; its gradients stay until the next."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.dtype):
            loss = F.binary_cross_entropy_with_logits(self.model(self.video), self.labels)
        loss.backward()
        self.optimizer.step()

    def kept(self) -> list[Tensor]:
        """What is alive between steps, once the gradients are gone."""
        self.optimizer.zero_grad(set_to_none=True)
        momentum = [state["momentum_buffer"] for state in self.optimizer.state.values()]
        return [*self.model.state_dict().values(), *momentum, self.labels, self.video]


def inference_rows(pairs: int, threads: int) -> Iterator[Row]:
    """Eager forward passes: TSN beside itself, TSM and TIN beside TSN."""
    video, tsn = clips(torch.channels_last), laid_out(build("tsn"))
    others = {"TSN": copy.deepcopy(tsn), "TSM": laid_out(build("tsm")), "TIN": laid_out(build("tin"))}
    for name, dtype in DTYPES.items():
        bound = Bound(1.03 if dtype == torch.float32 else 1.04, "upper end at most")
        for what, model in others.items():
            first, second = (timer(inference(network, video, dtype)) for network in (model, tsn))
            times = paired(first, second, pairs)
            yield timed_row(what, f"inference, eager; {name}", "TSN", times, bound if what == "TIN" else None)


def merged_rows(pairs: int, threads: int) -> Iterator[Row]:
    """The same with BatchNorm merged into the convolutions, as `tinkit test` runs both."""
    video, models = clips(torch.channels_last), {kind: laid_out(build(kind)) for kind in ("tsn", "tin")}
    for model in models.values():
        merge_batch_norm(model)
    for name, dtype in DTYPES.items():
        for kind in ("tsn", "tin"):
            first, second = (timer(inference(model, video, dtype)) for model in (models[kind], models["tsn"]))
            yield timed_row(
                kind.upper(), f"inference, BatchNorm merged; {name}", "TSN, merged", paired(first, second, pairs)
            )


def compiled_rows(pairs: int, threads: int) -> Iterator[Row]:
    """The same, compiled; what was compiled for one row does not stay for the next."""
    video, tsn, tin = clips(torch.channels_last), laid_out(build("tsn")), laid_out(build("tin"))
    for name, dtype in DTYPES.items():
        for what, model in (("TSN", copy.deepcopy(tsn)), ("TIN", tin)):
            torch.compiler.reset()
            first, second = (timer(inference(torch.compile(network), video, dtype)) for network in (model, tsn))
            times = paired(first, second, pairs)
            yield timed_row(what, f"inference, compiled; {name}", "TSN", times, Bound(1.04) if what == "TIN" else None)
    torch.compiler.reset()


def training_rows(pairs: int, threads: int) -> Iterator[Row]:
    """A step of training: TSN beside itself, TSM and TIN beside TSN."""
    video, models = clips(torch.channels_last), {kind: laid_out(build(kind)) for kind in ("tsn", "tsm", "tin")}
    for name, dtype in DTYPES.items():
        tsn = Training(models["tsn"], video, dtype)
        for kind, model in models.items():
            times = paired(timer(Training(model, video, dtype)), timer(tsn), pairs)
            yield timed_row(
                kind.upper(), f"training step; {name}", "TSN", times, Bound(1.05) if kind == "tin" else None
            )


def published_rows(pairs: int, threads: int) -> Iterator[Row]:
    """The published way beside a TSN without tinkit's operators, in the layout where it loses least and most."""
    for name, layout in (("float32", torch.contiguous_format), ("bfloat16", torch.channels_last)):
        video, tin = clips(layout), laid_out(build("tin"), layout)
        published, tsn = (laid_out(PlainClassifier(model).eval(), layout) for model in (tin, build("tsn")))
        check_logits(published, tin, video, DTYPES[name])
        place = "contiguous" if layout == torch.contiguous_format else "channels_last"
        for what, model in (("TSN, timm's forward", copy.deepcopy(tsn)), ("TIN, the published way", published)):
            first, second = (timer(inference(network, video, DTYPES[name])) for network in (model, tsn))
            times = paired(first, second, pairs)
            yield timed_row(what, f"inference, eager, {place}; {name}", "TSN, timm's forward", times)


def check_logits(published: nn.Module, tin: nn.Module, video: Tensor, dtype: torch.dtype) -> None:
    """Raise ``AssertionError`` unless both say the same up to rounding, of which bfloat16 has a lot."""
    ours, theirs = (inference(model, video, dtype)() for model in (tin, published))
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    far = float((ours - theirs).abs().max() / theirs.abs().max())
    limit = 1e-3 if dtype == torch.float32 else 0.1
    assert far < limit, f"the published way's logits are {far:.1e} of the largest away"


def memory_rows(pairs: int, threads: int) -> Iterator[Row]:
    """The bytes of all tensors at the peak: weights, input and what the call allocates, native operators included."""
    check_count()
    video, models = clips(torch.channels_last), {kind: laid_out(build(kind)) for kind in ("tin", "tsn")}
    for name, dtype in DTYPES.items():
        counts = []
        for model in models.values():
            run = inference(model, video, dtype)
            run()
            counts.append(bytes_of([*model.state_dict().values(), video]) + peak_bytes(run))
        yield bytes_row("TIN, tensors alive", f"inference, eager; {name}", "TSN", (counts[0], counts[1]), Bound(1.02))
        counts = []
        for model in models.values():
            step = Training(model, video, dtype)
            step()
            counts.append(bytes_of(step.kept()) + peak_bytes(step))
        yield bytes_row("TIN, tensors alive", f"training step; {name}", "TSN", (counts[0], counts[1]), Bound(1.02))


def check_count() -> None:
    """Raise ``AssertionError`` unless the counting sees inside native operators.

    ``interlace_write_`` gives back the fold that it overwrote, a quarter of the features, and has nothing else of that
    size; two copies one after the other, of which the first is dropped, are one at the peak.
    """
    x, gain = torch.randn(16, 64, 28, 28), torch.ones(2, 8, 4)
    write = torch.ops.tinkit.interlace_write_
    inside = peak_bytes(lambda: write(x, torch.ones(2, 4), gain, 16, False))
    assert bytes_of([x]) // 4 <= inside < bytes_of([x]) // 3, inside
    assert peak_bytes(lambda: [x.clone().shape for _ in range(2)]) == bytes_of([x])


def chosen(model: VideoClassifier) -> Call:
    """A forward pass of 2 clips as tinkit tests with ``test.amp = "auto"`` on this machine, buffers kept as ever."""
    merge_batch_norm(model)
    return inference(
        laid_out(model),
        clips(torch.channels_last),
        torch.bfloat16 if settle_amp("auto", "cpu") == "bf16" else torch.float32,
    )


def clips_rows(pairs: int, threads: int) -> Iterator[Row]:
    """The published way in a process of PyTorch's defaults over TIN as tinkit runs it; the two take turns."""
    with PublishedProcess(threads) as published:
        first, second = after_a_pause(published.milliseconds), after_a_pause(timer(chosen(build("tin"))))
        times = paired(first, second, pairs)
    case = "2 clips, PyTorch's defaults"
    row = timed_row("TIN, the published way", case, "TIN as tinkit chooses", times, Bound(4, "at least"))
    assert row.ms is not None
    assert row.against_ms is not None
    print(f"clips a second: {1000 * CLIPS / row.ms:.2f} the published way, {1000 * CLIPS / row.against_ms:.2f} tinkit")
    yield row


def after_a_pause(timed: Timer) -> Timer:
    """``timed``, once the other process' threads have gone to sleep: they spin a while after their work."""

    def waited() -> float:
        time.sleep(0.1)
        return timed()

    return waited


def laid_out(model: Network, layout: torch.memory_format = torch.channels_last) -> Network:
    """``model``, its weights laid out as its features are."""
    return model.to(memory_format=layout)  # type: ignore[call-overload]


GROUPS = {
    "inference": inference_rows,
    "merged": merged_rows,
    "compiled": compiled_rows,
    "training": training_rows,
    "published": published_rows,
    "memory": memory_rows,
    "clips": clips_rows,
}


def main() -> None:
    asked = options("models", "TIN beside TSN: time and memory", GROUPS, pairs=32)
    torch.set_num_threads(asked.threads)
    table = Table("models", setting_of(asked, KEPT), asked.out, asked.markdown)
    for group in asked.only:
        for row in GROUPS[group](asked.pairs, asked.threads):
            table.add(row)
    table.finish()


if __name__ == "__main__":
    main()
