"""What the engine adds to a step, beside the same step written out; a row is appended to benchmarks/results/engine.csv.

    python -m benchmarks.engine [--pairs 41] [--out FILE]

The engine's step (counting, seeds, rates, loss over valid clips, checks, events, progress) and a plain loop's (pixels,
forward, loss, backward, clipping, SGD) run in pairs on the same batch. With a network that costs next to nothing the
difference is what the engine costs, in milliseconds; it does not grow with the network, so it is then set beside a
step of ResNet-50 TIN with 8 clips of 8 frames of 224 px, timed in the same run, and beside the longest step it would
take for it to be 2%.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.machine import machine
from tinkit.data.clips.batch import Batch
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthSpec, synthesise
from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.runs.log import Reporter, RunLog
from tinkit.engine.runs.run import create_run
from tinkit.engine.training.throughput import Clock
from tinkit.engine.training.trainer import Trainer
from tinkit.recipe import load_recipe

SMALL = ["model.backbone=test_resnet", "clip.size=32", "clip.num_segments=4", "optim.batch=8"]
LARGE = ["model.backbone=resnet50", "clip.size=224", "clip.num_segments=8", "optim.batch=8"]


def steps(folder: Path, name: str, changes: list[str], root: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """One step of the engine and one of a plain loop, on one network, optimiser and batch."""
    common = ["optim.groups=published", "model.partial_bn=true", "model.dropout=0", "train.workers=0"]
    recipe = load_recipe("demo_tin", [*common, *changes], root).recipe
    trainer = Trainer(
        create_run(name, recipe, folder), recipe, open_manifest(recipe.data, "train"), None, Reporter(True)
    )
    trainer.model.train()
    log = RunLog(trainer.run, Progress(), 0, validated=True)
    batch: Batch = next(iter(trainer.batches()))
    clock = Clock()
    pixels, model, optimizer = trainer.train_step._pixels, trainer.model, trainer.optimizer

    def engine() -> None:
        with trainer.reporter.progress("", 1) as meter:
            trainer._step(batch, clock, log, meter, stop=False)

    def plain() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits = model(pixels(batch["frames"]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["labels"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optim.clip_grad)
        optimizer.step()
        loss.item()

    return engine, plain


def timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description="what the engine adds to a step")
    parser.add_argument("--pairs", type=int, default=201)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "engine.csv")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthesise(SynthSpec("mmit", clips=16, val=1, test=1, seed=0, size=256, frames=12), folder / "data", workers=0)
        engine, plain = steps(folder, "small", SMALL, folder / "data")
        for call in (engine, plain) * 5:
            call()
        differences = np.array([timed(engine) - timed(plain) for _ in range(asked.pairs)])
        _, large = steps(folder, "large", LARGE, folder / "data")
        large()
        whole = statistics.median(timed(large) for _ in range(5))
    random = np.random.default_rng(0)
    medians = [np.median(random.choice(differences, len(differences))) for _ in range(2000)]
    low, high = np.percentile(medians, [2.5, 97.5])
    cost = float(np.median(differences))
    row = {
        "date": date.today().isoformat(),
        "machine": machine("torch", "timm", "tensorboard"),
        "pairs": asked.pairs,
        "engine_ms": round(cost, 3),
        "engine_ms_low": round(float(low), 3),
        "engine_ms_high": round(float(high), 3),
        "resnet50_step_ms": round(whole, 1),
        "percent_of_it": round(100 * cost / whole, 4),
        "two_percent_of_a_step_of_ms": round(50 * cost, 1),
    }
    old = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame()
    pd.concat([old, pd.DataFrame([row])]).to_csv(asked.out, index=False)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
