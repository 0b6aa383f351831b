"""How soon a run of a million clips goes on; a row is appended to benchmarks/results/resume.csv.

    python -m benchmarks.resume [--clips 1000000] [--out FILE]

A csv of so many clips (all of them the same few videos) is prepared, a ResNet-50 TIN run with averaged weights and
published parameter groups is stopped after a step, and `tinkit train --resume` is started anew, as a process of its
own. `first_step_s` is the time from starting the process to the end of the first new step, as its events file tells;
`imports_s` is what Python and the libraries take of it. The disk's cache is warm.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pandas as pd

from benchmarks.machine import machine
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthSpec, synthesise
from tinkit.recipe import load_recipe

RECIPE = """
extends = "mmit_r50"
[data]
dataset = "table"
train = "train.csv"
val = "val.csv"
categories = "classes.txt"
task = "multi-label"
[model]
pretrained = false
[optim]
batch = 1
epochs = 2
groups = "published"
[ema]
decay = 0.999
[train]
workers = 1
"""


def prepare(folder: Path, clips: int) -> Path:
    """A data set of ``clips`` rows and a recipe for it; returns the recipe."""
    root = folder / "data"
    synthesise(SynthSpec("mmit", clips=8, val=1, test=1, seed=0, size=256, frames=90), root, workers=0)
    videos = sorted(str(path.relative_to(root)) for path in root.rglob("*.mp4"))[:8]
    (root / "classes.txt").write_text("\n".join(f"action {index}" for index in range(313)) + "\n")
    for split, count in (("train", clips), ("val", 1)):
        table = pd.DataFrame({"id": [f"{split}/{index:07d}" for index in range(count)]})
        table["path"] = [videos[index % len(videos)] for index in range(count)]
        table["labels"] = [f"{index % 313} {index * 7 % 313}" if index % 313 else "0" for index in range(count)]
        table.to_csv(root / f"{split}.csv", index=False)
    recipe = folder / "million.toml"
    recipe.write_text(RECIPE)
    return recipe


def tinkit(*arguments: str) -> float:
    """Seconds of a command of its own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tinkit", *arguments], check=True)
    return time.perf_counter() - start


def first_step(run: Path, data: Path) -> float:
    """Seconds from starting the process that resumes ``run`` until the first new step is in its events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    begun = time.time()
    command = ["train", "--resume", str(run), "--data", str(data), "--steps", "1", "-q"]
    tinkit(*command)
    events = EventAccumulator(str(run / "events"))
    events.Reload()
    return float(events.Scalars("train/loss")[-1].wall_time - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description="how soon a run of a million clips goes on")
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "resume.csv")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe, data = prepare(folder, asked.clips), folder / "data"
        start = time.perf_counter()
        assert len(open_manifest(load_recipe(str(recipe), (), data).recipe.data, "train")) == asked.clips
        build = time.perf_counter() - start
        runs = ["--runs", str(folder)]
        tinkit("train", str(recipe), "--data", str(data), *runs, "--name", "million", "--steps", "1", "-q")
        seconds = sorted(first_step(folder / "million", data) for _ in range(asked.times))
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tinkit.engine.training.trainer"], check=True)
    row = {
        "date": date.today().isoformat(),
        "machine": machine("torch", "timm"),
        "clips": asked.clips,
        "times": asked.times,
        "manifest_built_s": round(build, 1),
        "first_step_s": round(seconds[len(seconds) // 2], 2),
        "first_step_s_worst": round(seconds[-1], 2),
        "imports_s": round(time.perf_counter() - start, 2),
    }
    old = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame()
    pd.concat([old, pd.DataFrame([row])]).to_csv(asked.out, index=False)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
