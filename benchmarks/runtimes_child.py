"""A process that runs ResNet-50s one way, and answers each pass that it is asked for with its CPU time.

    python benchmarks/runtimes_child.py THREADS

Each line of the standard input is ``NETWORK PRECISION CLIPS`` (``tin bfloat16 1``), each line of the standard output
the milliseconds of CPU time of one forward pass of so many clips of 8 x 224, all threads together. A first pass of each
is not counted. The tinkit that runs is the one that ``PYTHONPATH`` leads to: this file names only what tinkits have had
since version 0.1. ``out FILE`` stores the logits of the last pass.
"""

# ruff: noqa: E402  (buffers are kept before there are threads, which PyTorch would start)

from __future__ import annotations

from tinkit.pages import keep_buffers

keep_buffers()

import sys
import time
from typing import Any

import torch
from torch import Tensor

from tinkit.models import VideoClassifier
from tinkit.models.batch_norm import merge_batch_norm

CLASSES, FRAMES, SIZE = 174, 8, 224


def build(temporal: Any) -> VideoClassifier:
    """A network as `tinkit test` prepares it, with the same random weights in every process."""
    torch.manual_seed(0)
    model = VideoClassifier("resnet50", temporal, CLASSES, FRAMES, zero_init_last=False, classifier_std=0.01).eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    merge_batch_norm(model)
    return model


def clips(count: int) -> Tensor:
    """(B, T, 3, H, W), channels_last as the engine gives them."""
    images = torch.randn(count * FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
    return images.contiguous(memory_format=torch.channels_last).unflatten(0, (count, FRAMES))


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    models: dict[str, VideoClassifier] = {}
    videos: dict[int, Tensor] = {}
    warm, out = set(), torch.empty(0)
    for line in sys.stdin:
        if line.startswith("out "):
            torch.save(out, line[4:].strip())
            print("stored", flush=True)
            continue
        name, precision, count = line.split()
        model = models.setdefault(name, build(name) if name not in models else models[name])
        video = videos.setdefault(int(count), clips(int(count)))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            if line not in warm:
                warm.add(line)
                model(video)
            started = time.process_time()
            out = model(video)
            took = time.process_time() - started
        print(1000 * took, flush=True)


if __name__ == "__main__":
    main()
