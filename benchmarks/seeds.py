"""Train demo recipes over several seeds and settings, and score each on the test split."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.demo import test_metrics, tinkit

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)


def measure(folder: Path, recipe: str, seed: int, name: str, settings: Iterable[str] = ()) -> dict[str, Any]:
    """Train ``recipe`` with ``train.seed = seed`` and ``settings`` unless that was done; test it with 1x1 views."""
    data, runs = folder / "data", folder / "runs"
    scores = runs / name / "scores" / "test-1x1-best.arrow"
    if not scores.is_file():
        changes = [word for setting in (f"train.seed={seed}", *settings) for word in ("--set", setting)]
        if not (runs / name / "recipe.toml").is_file():
            tinkit("train", recipe, "--data", data, "--runs", runs, "--name", name, *changes)
        else:
            tinkit("train", "--resume", name, "--runs", runs)
        tinkit("test", name, "--split", "test", "--runs", runs)
    values = {key: round(value, 2) for key, value in test_metrics(scores, data).items()}
    return {"recipe": recipe, "seed": seed} | values


def machine() -> str:
    """The machine in a few words, without its name."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def write(rows: list[dict[str, Any]], name: str) -> None:
    """Write ``rows`` with the machine they came from to ``results/NAME.csv``, and print them."""
    table = pd.DataFrame(rows).assign(machine=machine())
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / f"{name}.csv", index=False)
    print(table.drop(columns="machine").to_string(index=False))
