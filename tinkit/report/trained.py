"""The sections of a report that trainings give: results, offsets, curves, speed, recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinkit.report import figures
from tinkit.report.entries import Entry
from tinkit.report.section import Figure, Section, Table

_FIRST = ("run", "split", "metric", "measured", "published", "difference", "within")  # what a phone shows


def results_section(rows: Sequence[dict[str, Any]]) -> Section:
    """What was measured beside what was published; ``rows`` are those of `tinkit compare`."""
    drawn = []
    metric = next((row["metric"] for row in rows if row["measured"] is not None), None)
    shown = [
        {
            "name": " ".join(str(row[key]) for key in ("run", "split", "views") if row[key]),
            "measured": row["measured"],
            "published": row["published"],
        }
        for row in rows
        if row["metric"] == metric and row["measured"] is not None
    ]
    if shown:
        caption = f"{metric} in percent: bars are measured, marks are published"
        drawn.append(Figure(caption, figures.published_bars(shown, caption), Table(caption, shown)))
    notes = ["A published number stands only beside scores of its own split, views and protocol."]
    return Section("results", "Results", notes, drawn, [_beside_published(rows)])


def _beside_published(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows with what matters most in front, without columns that are empty."""
    names = [*_FIRST, *(name for name in rows[0] if name not in _FIRST)]
    full = [name for name in names if any(row[name] is not None for row in rows)]
    return Table(
        "Measured beside published, in percent", [{name: row[name] for name in full} for row in rows], sortable=True
    )


def offsets_section(entries: Sequence[Entry]) -> Section:
    """Learned offsets by block and group over training, as the paper draws them."""
    drawn = []
    for entry in entries:
        if entry.offsets.empty:
            continue
        rows = [
            {
                "block": row["block"],
                "group": str(row["group"]),
                "epoch": int(row["epoch"]) + 1,
                "offset": float(row["offset"]),
                "low": float(row["offset"]) - float(row["offset_std"]),
                "high": float(row["offset"]) + float(row["offset_std"]),
            }
            for row in entry.offsets.to_dict("records")
            if math.isfinite(row["offset"]) and math.isfinite(row["offset_std"])
        ]
        blocks = list(dict.fromkeys(row["block"] for row in rows))
        caption = f"{entry.name}: mean offset of each group over the validation clips, in frames; the band is one "
        caption += "standard deviation over clips"
        last = max(row["epoch"] for row in rows)
        newest = [row for row in rows if row["epoch"] == last]
        drawn.append(Figure(caption, figures.offsets(rows, blocks, caption), Table(f"Epoch {last}", newest)))
    return Section("offsets", "Learned offsets", figures=drawn)


def curves_section(entries: Sequence[Entry]) -> Section:
    """Loss and validation metrics over epochs."""
    drawn = []
    wanted = ["train_loss"]
    for entry in entries:
        wanted += [name for name in entry.epochs.columns if name.startswith("val_") and name not in wanted]
    for column in wanted:
        scale = 1 if column == "train_loss" else 100
        rows = [
            {"series": entry.name, "epoch": int(row["epoch"]) + 1, column: scale * float(row[column])}
            for entry in entries
            if column in entry.epochs.columns
            for row in entry.epochs.to_dict("records")
            if math.isfinite(row[column])
        ]
        if rows:
            title = "training loss" if column == "train_loss" else f"{column.removeprefix('val_')}, percent"
            caption = f"{title} over epochs"
            spec = figures.lines(rows, "epoch", column, caption, y_title=title)
            drawn.append(Figure(caption, spec, Table(caption, rows)))
    return Section("curves", "Training", figures=drawn)


def speed_section(entries: Sequence[Entry]) -> Section:
    """Clips a second in training, and how long it waited for data."""
    rows = [
        {
            "run": entry.name,
            "epochs": len(entry.epochs),
            "clips/s (median of epochs)": float(entry.epochs["clips_per_s"].median()),
            "waiting for data, percent": 100 * float(entry.epochs["waiting"].median()),
        }
        for entry in entries
        if {"clips_per_s", "waiting"} <= set(entry.epochs.columns)
    ]
    return Section("speed", "Throughput of training", tables=[Table("Throughput", rows)] if rows else ())


def recipes_section(entries: Sequence[Entry]) -> Section:
    """The exact recipe of every run."""
    return Section(
        "recipes", "Recipes", texts=[(entry.name, entry.recipe_text) for entry in entries if entry.recipe_text]
    )
