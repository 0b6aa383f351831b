"""Measured numbers of runs and fusions beside the published ones of their recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinkit.engine.run import Run, find_run
from tinkit.errors import UserError
from tinkit.recipe import Published
from tinkit.scores import read_scores
from tinkit.scores.tools import measure


def comparison_rows(names: Sequence[str], runs: Path, fusions: Path) -> list[dict[str, Any]]:
    """A row a (score file with labels, metric), then a row for each published number that nothing was measured for."""
    rows: list[dict[str, Any]] = []
    for name in names:
        fusion = next((path for path in (fusions / name, Path(name)) if (path / "fusion.json").is_file()), None)
        if fusion is not None:
            rows += _fusion_rows(fusion)
            continue
        run = find_run(name, runs)
        rows += _run_rows(run)
    if not rows:
        raise UserError(f"{', '.join(names)}: nothing was tested yet and nothing published", fix="tinkit test RUN")
    return rows


def _fusion_rows(folder: Path) -> list[dict[str, Any]]:
    """A fusion's splits; where its weights were fitted, the cross-validated estimate stands for the optimistic one."""
    record = json.loads((folder / "fusion.json").read_text())
    estimate = record["metrics"].get("cross_validated")
    rows = _measured(folder.name, sorted(folder.glob("*.arrow")), ())
    for row in rows:
        if estimate is not None and row["split"] == record["fit"]:
            row |= {"measured": 100 * estimate[row["metric"]], "weights": "cross-validated"}
    return rows


def _run_rows(run: Run) -> list[dict[str, Any]]:
    published = run.load_recipe().published
    rows = _measured(run.name, sorted((run.folder / "scores").glob("*.arrow")), published)
    shown = {(row["split"], row["views"], row["metric"]) for row in rows if row["published"] is not None}
    for entry in published:
        if (entry.split, entry.views, entry.metric) not in shown:
            rows.append(_row(run.name, entry.split, entry.views, None, entry.metric, None, entry))
    return rows


def _measured(name: str, paths: Sequence[Path], published: Sequence[Published]) -> list[dict[str, Any]]:
    rows = []
    for path in paths:
        table = read_scores(path)
        info = table.info
        if (result := measure(table)) is None:
            continue
        for metric, value in result.values.items():
            same = [
                entry
                for entry in published
                if (entry.split, entry.views, entry.metric) == (info.split, info.views, metric)
            ]
            for entry in same or (None,):
                rows.append(_row(name, info.split, info.views, info.weights, metric, 100 * value, entry))
    return rows


def _row(
    name: str, split: str, views: str, weights: str | None, metric: str, measured: float | None, entry: Published | None
) -> dict[str, Any]:
    difference = None if measured is None or entry is None else measured - entry.number
    return {
        "run": name,
        "split": split,
        "views": views,
        "weights": weights,
        "metric": metric,
        "measured": measured,
        "published": None if entry is None else float(entry.number),
        "difference": difference,
        "spread": None if entry is None else entry.spread,
        "source": None if entry is None else entry.source,
    }
