"""The same recipe on several seeds: one run each, and what they have in common."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from tinkit.engine.runs.checkpoint import Progress, read_header
from tinkit.engine.runs.run import Run
from tinkit.recipe import Recipe, change, rename


def seeded(recipe: Recipe, count: int) -> list[Recipe]:
    """``recipe`` on ``count`` seeds from its own upwards, each as the run ``NAME-seedS``."""
    seeds = range(recipe.train.seed, recipe.train.seed + count)
    renamed = [rename(recipe, f"{recipe.name}-seed{seed}") for seed in seeds]
    return [change(one, {"train.seed": seed}) for one, seed in zip(renamed, seeds, strict=True)]


def run_series(recipes: Sequence[Recipe], train: Callable[[Recipe], Run]) -> list[dict[str, Any]]:
    """Train one after the other; a row a run with its newest validation in percent, then mean and deviation."""
    rows: list[dict[str, Any]] = []
    for recipe in recipes:
        run = train(recipe)
        progress = Progress(**read_header(run.checkpoint("last"))["progress"])
        row: dict[str, Any] = {"run": run.name, "seed": recipe.train.seed, "epochs": progress.epoch}
        rows.append(row | {name: 100 * value for name, value in progress.metrics.items()})
    names = [name for name in rows[0] if name not in ("run", "seed", "epochs")]
    if len(rows) > 1 and all(name in row for row in rows for name in names):
        columns = {name: [row[name] for row in rows] for name in names}
        empty: dict[str, Any] = {"seed": None, "epochs": None}
        rows.append({"run": "mean"} | empty | {name: statistics.mean(values) for name, values in columns.items()})
        rows.append({"run": "std"} | empty | {name: statistics.stdev(values) for name, values in columns.items()})
    return rows
