"""`tinkit doctor --bench`: the same forward pass with one of tinkit's choices after the other, timed on this machine.

Buffers and native kernels are decided once a process, so the ways to run live in child processes, which take turns:
what disturbs the machine meets all of them. A child is this module run as a program; it reads the number of a way from
each line and answers with the milliseconds that it took.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from tinkit.errors import UserError
from tinkit.pages import asks_for_huge_pages, keep_buffers, why_not_kept, without_kept_buffers
from tinkit.terminal import print_line

_PAUSE = 0.05  # seconds: another process' threads spin a while after their work
_ROUNDS = 3  # at least


@dataclass(frozen=True)
class TimedNetwork:
    """What is timed: a TIN, and the clips of a forward pass."""

    backbone: str = "resnet50"
    clips: int = 1
    frames: int = 8
    size: int = 224


@dataclass(frozen=True)
class Way:
    """How a forward pass is run; as it stands, PyTorch's defaults with tinkit's operators in plain PyTorch."""

    kept: bool = False
    channels_last: bool = False
    native: bool = False
    merged: bool = False
    bfloat16: bool = False


@dataclass(frozen=True)
class Choice:
    """One choice and what it gave; ``way`` is None for what is not timed here, whose ``clips_per_s`` is None too."""

    name: str
    chosen: str
    why: str
    way: Way | None = None
    clips_per_s: float | None = None


def measure_choices(seconds: float, network: TimedNetwork | None = None) -> list[Choice]:
    """The choices of this machine, each with all those before it; those that can be timed are, for about ``seconds``.

    ``network`` is a ResNet-50 with one clip unless it is given. Raises :class:`~tinkit.errors.UserError` where a child
    process fails.
    """
    choices = list(_choices())
    ways = [choice.way for choice in choices if choice.way is not None]
    measured = _take_turns(ways, network or TimedNetwork(), seconds)
    return [choice if choice.way is None else replace(choice, clips_per_s=measured[choice.way]) for choice in choices]


def choice_rows(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """A row a choice for a table: clips a second, and the factors over the last one timed before and over the first."""
    rows, first, before = [], None, None
    for choice in choices:
        speed = choice.clips_per_s
        row: dict[str, Any] = {"choice": choice.name, "clips/s": speed, "x before": None, "x first": None}
        if speed is not None:
            row |= {"x before": before and speed / before, "x first": first and speed / first}
            first, before = first or speed, speed
        rows.append(row | {"chosen": choice.chosen, "why": choice.why})
    return rows


def _choices() -> Iterator[Choice]:
    """What is chosen here, in the order in which it is added up."""
    from tinkit.engine.runtime.device import choose_device, chosen_threads
    from tinkit.engine.runtime.precision import hardware_bfloat16

    device = choose_device().type
    way = Way()
    yield Choice("none: PyTorch's defaults", "no", "contiguous, float32, plain operators, BatchNorm apart", way)
    for name, change, problem, why in (
        ("large buffers kept", {"kept": True}, _no_buffers(device), _pages()),
        ("channels_last", {"channels_last": True}, None, "unless train.channels_last = false"),
        ("native kernels", {"native": True}, _no_kernels(device), _kernels(device)),
        ("BatchNorm merged", {"merged": True}, None, "in tests and predictions; validation runs what is trained"),
    ):
        if problem is None:
            way = replace(way, **change)
        yield Choice(name, "no" if problem else "yes", problem or why, None if problem else way)
    if unit := hardware_bfloat16(device):
        why = f'{unit}; with train.amp or test.amp = "auto" or "bf16" only: published numbers are of float32'
        yield Choice("bfloat16", "if asked", why, replace(way, bfloat16=True))
    else:
        yield Choice("bfloat16", "no", "this device has no arithmetic for it and would convert in software")
    if device == "cpu":
        why = "OMP_NUM_THREADS" if "OMP_NUM_THREADS" in os.environ else "the cores that this process may use"
        yield Choice("threads", str(chosen_threads()), why)
        yield Choice("denormals are zero", "yes", "in training, where they would slow BatchNorm down 30 times")
    why = "takes a minute to start, and a training on CPUs is no faster; train.compile = true turns it on"
    yield Choice("torch.compile", "no", why)


def _no_buffers(device: str) -> str | None:
    return why_not_kept() if device == "cpu" else "for CPUs: PyTorch keeps the buffers of its other devices itself"


def _pages() -> str:
    return "and PyTorch's are in huge pages" if asks_for_huge_pages() else "in small pages, as this system has them"


def _no_kernels(device: str) -> str | None:
    from tinkit.ops import cuda, native

    return cuda.state().problem if device == "cuda" else native.state().problem


def _kernels(device: str) -> str:
    from tinkit.ops import native

    if device == "cuda":
        return "of the operators"
    import torch

    from tinkit.ops.post_ops import why_not

    reason = why_not(torch.float32)
    fused = "norm, activation and addition in convolutions" if reason is None else f"nothing in convolutions: {reason}"
    return f"{native.state().level}; {fused}"


def _take_turns(ways: Sequence[Way], network: TimedNetwork, seconds: float) -> dict[Way, float]:
    """Clips a second of each way: the median of rounds in which each has its turn, after two to warm up."""
    times: dict[Way, list[float]] = {way: [] for way in ways}
    with ExitStack() as stack:
        run: dict[Way, Callable[[], float]] = {}
        for kept, native in dict.fromkeys((way.kept, way.native) for way in ways):
            own = [way for way in ways if (way.kept, way.native) == (kept, native)]
            run |= stack.enter_context(_child(own, network))
        ended, rounds = 0.0, 0
        while rounds < 2 + _ROUNDS or time.monotonic() < ended:
            if rounds == 2:
                ended = time.monotonic() + seconds
            for way in ways:
                time.sleep(_PAUSE)
                milliseconds = run[way]()
                if rounds >= 2:
                    times[way].append(milliseconds)
            rounds += 1
    return {way: 1000 * network.clips / statistics.median(found) for way, found in times.items()}


@contextmanager
def _child(ways: Sequence[Way], network: TimedNetwork) -> Iterator[dict[Way, Callable[[], float]]]:
    """A process that runs ``ways``, which all keep buffers and use native kernels, or none does."""
    environment = dict(os.environ) if ways[0].kept else without_kept_buffers(os.environ)
    if not ways[0].native:
        environment["TINKIT_NATIVE"] = "0"
    told = json.dumps([asdict(network), [asdict(way) for way in ways]])
    command = [sys.executable, "-m", "tinkit.engine.measure.machine", told]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    question, answer = process.stdin, process.stdout

    def run(number: int) -> float:
        try:
            question.write(f"{number}\n")
            question.flush()
            line = answer.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(f"the process that was to be timed ended with {process.wait()}; what it said is above")
        return float(line)

    try:
        yield {way: lambda number=number: run(number) for number, way in enumerate(ways)}  # type: ignore[misc]
    finally:
        process.kill()
        process.communicate()


def _serve(network: TimedNetwork, ways: Sequence[Way]) -> None:
    """The child: answer each number on the standard input with the milliseconds of that way."""
    keep_buffers()  # before PyTorch is imported
    if Way() not in ways:
        from tinkit.engine.runtime.device import limit_threads

        limit_threads()
    runs = [_forward(network, way) for way in ways]
    for line in sys.stdin:
        started = time.perf_counter()
        runs[int(line)]()
        print_line(1000 * (time.perf_counter() - started))


def _forward(network: TimedNetwork, way: Way) -> Callable[[], None]:
    """One forward pass of clips that are on the device already."""
    import torch

    from tinkit.engine.runtime.device import choose_device
    from tinkit.engine.runtime.precision import autocast
    from tinkit.models import VideoClassifier
    from tinkit.models.batch_norm import merge_batch_norm

    device = choose_device()
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    # A branch that ends in zeros would be computed all the same, but its numbers would not be those of a real network.
    model = VideoClassifier(network.backbone, "tin", num_segments=network.frames, zero_init_last=False)
    model = model.eval().to(device, memory_format=layout)  # type: ignore[call-overload]
    if way.merged:
        merge_batch_norm(model)
    images = torch.randn(network.clips * network.frames, 3, network.size, network.size, device=device)
    video = images.contiguous(memory_format=layout).unflatten(0, (network.clips, network.frames))

    @torch.inference_mode()
    def run() -> None:
        with autocast(device.type, "bf16" if way.bfloat16 else "off"):
            model(video)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    _network, _ways = json.loads(sys.argv[1])
    _serve(TimedNetwork(**_network), [Way(**one) for one in _ways])
