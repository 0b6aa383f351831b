"""Training clips from bytes to an item, beside other kits' pipelines; writes benchmarks/results/data.csv.

    python -m benchmarks.data [--rounds 15] [--clips 12] [--peers build/peers] [--out FILE]

The time is that of the processor, in ms a clip, one thread, files in the page cache. All pipelines of a case run in
one process, one after the other within a round and in another order in each; a row has the median of the rounds and
the interval that holds the true median in 95% of cases, of the times and of the ratios within a round to what tinkit
takes. tinkit reads a set as ``tinkit data prepare`` leaves it (as other kits read lists with the frames of each clip),
and, in a row of its own, one that was not probed. It gives 8-bit frames, which are normalised on the model's device:
pipelines that give normalised numbers are compared with tinkit as it is, and with that pass on the same processor.
Packages that tinkit does not depend on are looked for in ``--peers``; without one its rows are left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from math import comb
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.data_clips import CASES, FRAMES, RATE, Case, make_clips
from benchmarks.data_peers import SEGMENTS, SIZE, Pipeline, add_peers, pipelines
from benchmarks.fuzz.surveyed import survey_here
from benchmarks.machine import machine
from tinkit.data.clips.training import TrainClips
from tinkit.data.config.views import ClipConfig
from tinkit.data.manifest.manifest import Manifest
from tinkit.ops.normalise import normalised

HOUSE, NORMALISED = "tinkit", "tinkit, normalised"
_LEVELS = torch.full((1, 3, 1, 1), 118.0), torch.full((1, 3, 1, 1), 1 / 58)
_COVERED = 0.95


def main() -> None:
    asked = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    add_peers(asked.peers)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            manifest, size = make_clips(case, Path(folder) / str(number), asked.clips)
            others, missing = pipelines(video=case.is_video)
            if missing:
                print(f"{case.name}: left out is what needs {' and '.join(missing)}, not in {asked.peers}", flush=True)
            for row in measure(case, manifest, others, asked.rounds):
                rows.append(
                    {"date": date.today().isoformat(), **row, "clip_kb": f"{size:.0f}", "machine": machine_and_load()}
                )
                print(", ".join(f"{key} {row[key]}" for key in row), flush=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with asked.out.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def measure(case: Case, manifest: Manifest, others: dict[str, Pipeline], rounds: int) -> list[dict[str, str]]:
    """A row a pipeline of ``case``, from ``rounds`` rounds; one more goes before them and is not counted."""
    clip = ClipConfig(num_segments=SEGMENTS, size=SIZE)
    unknown = TrainClips(manifest, clip, seed=0)
    survey_here(manifest)
    dataset = TrainClips(manifest, clip, seed=0)
    paths = [manifest.root / manifest.row(index).path for index in range(len(manifest))]
    calls: dict[str, Callable[[int, int], object]] = {
        HOUSE: lambda epoch, index: dataset[epoch, index],
        "tinkit, not prepared": lambda epoch, index: unknown[epoch, index],
        NORMALISED: lambda epoch, index: _normalised(dataset[epoch, index]["frames"]),
    }
    for name, pipeline in others.items():
        calls[name] = partial(_make, pipeline, paths)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for epoch in range(rounds + 1):
        for name in np.random.default_rng(epoch).permutation(list(calls)).tolist():
            start = time.process_time()
            for index in range(len(paths)):
                calls[name](epoch, index)
            if epoch:
                times[name].append(1000 * (time.process_time() - start) / len(paths))
    rows = [_row(case, name, HOUSE, times) for name in times]
    return rows + [_row(case, name, NORMALISED, times) for name in others if name.endswith("float")]


def _make(pipeline: Pipeline, paths: list[Path], epoch: int, index: int) -> object:
    return pipeline(paths[index], np.random.default_rng((epoch, index)))


def _normalised(frames: Tensor) -> Tensor:
    return normalised(frames, *_LEVELS, memory_format=torch.channels_last)


def _row(case: Case, name: str, against: str, times: dict[str, list[float]]) -> dict[str, str]:
    own, house = times[name], times[against]
    low, high = median_interval(own)
    ratios = [one / other for one, other in zip(own, house, strict=True)]
    ratio_low, ratio_high = median_interval(ratios)
    return {
        "case": case.name,
        "clip": f"{FRAMES} frames of {case.width}x{case.height}, {RATE} a second, made",
        "pipeline": name,
        "rounds": str(len(own)),
        "cpu_ms": f"{statistics.median(own):.2f}",
        "cpu_ms_low": f"{low:.2f}",
        "cpu_ms_high": f"{high:.2f}",
        "against": against,
        "over_tinkit": f"{statistics.median(ratios):.2f}",
        "over_tinkit_low": f"{ratio_low:.2f}",
        "over_tinkit_high": f"{ratio_high:.2f}",
    }


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics between which the median of what ``values`` are drawn from lies with a
    probability of 0.95, whatever its distribution; the least and the greatest of fewer than six."""
    ordered, count = sorted(values), len(values)
    outside, cut = 0.0, 0
    while cut < (count - 1) // 2 and outside + 2 * comb(count, cut) / 2**count <= 1 - _COVERED:
        outside += 2 * comb(count, cut) / 2**count
        cut += 1
    first = max(cut - 1, 0)
    return ordered[first], ordered[count - 1 - first]


def machine_and_load() -> str:
    """The machine, what was installed on it, and how busy it was."""
    return f"{machine('torch', 'av', 'simplejpeg', 'pillow', 'numpy')}; load {os.getloadavg()[0]:.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="training clips beside other kits' pipelines")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--peers", type=Path, default=Path("build/peers"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "data.csv")
    asked = parser.parse_args()
    if asked.rounds < 9:
        parser.error("--rounds: 9 at least")
    return asked


if __name__ == "__main__":
    main()
