"""Training clips read by whichever tinkit can be imported: on each line of the standard input an epoch, whose CPU
seconds are printed. A script of its own, for :mod:`benchmarks.data_before`: an earlier tree has none of our modules."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import torch


def main(root: Path, media: str, segments: int, size: int) -> None:
    """Read all the clips below ``root`` once for every line."""
    torch.set_num_threads(1)
    at: dict[str, Any] = {}
    for module in ("clips.training", "clips.datasets", "config.dataset", "config.views", "manifest.manifest"):
        try:
            at |= vars(importlib.import_module(f"tinkit.data.{module}"))
        except ModuleNotFoundError:
            continue
    config = at["DataConfig"](dataset="list", root=root, media=media, media_folder="media")
    clips = at["TrainClips"](
        at["open_manifest"](config, "train"), at["ClipConfig"](num_segments=segments, size=size), seed=0
    )
    for line in sys.stdin:
        epoch, start = int(line), time.process_time()
        for index in range(len(clips)):
            assert clips[epoch, index]["valid"]
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
