"""An inspection as tables: of the screen, of JSON, and of csv files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinkit.files.atomic import atomic_path
from tinkit.files.cells import plain_row
from tinkit.files.system_errors import write_errors
from tinkit.inspection.calibration import BINS, Calibration
from tinkit.inspection.classes import ClassResult, value_name
from tinkit.inspection.clips import ClipResult
from tinkit.inspection.confusion import strongest_pairs
from tinkit.inspection.inspection import Inspection
from tinkit.inspection.order import ClassOrder

Row = dict[str, Any]


def class_rows(inspection: Inspection, sort: ClassOrder = "value") -> list[Row]:
    """A row a class: the worst first (``value``), the most clips or confusions first, or by name. Values in percent."""
    rows = sorted(inspection.classes, key=_order(sort))
    name = value_name(inspection.info.task)
    return [
        {
            "class": row.name,
            "clips": row.clips,
            name: None if row.value is None else 100 * row.value,
            "confused with": row.confused_with,
            "times": row.confused,
        }
        for row in rows
    ]


def _order(sort: ClassOrder) -> Any:
    match sort:
        case "value":
            return lambda row: (row.value is None, row.value or 0.0, row.index)
        case "clips":
            return lambda row: (-row.clips, row.index)
        case "confused":
            return lambda row: (-row.confused, row.index)
        case "name":
            return lambda row: (row.name.casefold(), row.index)


def clip_rows(clips: Sequence[ClipResult]) -> list[Row]:
    """A row a clip: its labels, the average precision of its ranking in percent, and its highest classes."""
    return [
        {
            "clip": clip.id,
            "labels": ", ".join(clip.labels),
            "AP": 100 * clip.value,
            "margin": clip.margin,
            "highest": ", ".join(f"{name} {score:.2f}" for name, score in clip.top),
        }
        for clip in clips
    ]


def calibration_rows(found: Calibration) -> list[Row]:
    """A row a bin: its bounds, how many predictions, their mean probability and the share that is true."""
    return [
        {
            "from": place / BINS,
            "to": (place + 1) / BINS,
            "predictions": int(found.counts[place]),
            "mean probability": _number(found.predicted[place]),
            "share true": _number(found.observed[place]),
        }
        for place in range(BINS)
    ]


def confusion_rows(inspection: Inspection, most: int) -> list[Row]:
    """The strongest confusions: a class, the one that ranks above it, and in how many clips."""
    names = inspection.info.classes
    return [
        {"class": names[own], "ranks above it": names[rival], "clips": count}
        for own, rival, count in strongest_pairs(inspection.confusion, most)
    ]


def write_tables(folder: Path, inspection: Inspection) -> list[Path]:
    """Write ``classes.csv``, ``clips.csv``, ``confusion.csv`` and, of probabilities, ``calibration.csv``."""
    clips = [{"end": "worst"} | row for row in clip_rows(inspection.worst)]
    clips += [{"end": "best"} | row for row in clip_rows(inspection.best)]
    tables = {
        "classes": class_rows(inspection, "name"),
        "clips": clips,
        "confusion": confusion_rows(inspection, int(np.count_nonzero(inspection.confusion))),
    }
    if inspection.calibration is not None:
        tables["calibration"] = calibration_rows(inspection.calibration)
    written = []
    for name, rows in tables.items():
        path = folder / f"{name}.csv"
        with (
            write_errors(path),
            atomic_path(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as out,
        ):
            writer = csv.writer(out)
            writer.writerow(rows[0] if rows else ["class"])
            writer.writerows(plain_row(row.values()) for row in rows)
        written.append(path)
    return written


def as_json(inspection: Inspection) -> Row:
    """All of it as JSON."""
    found = inspection.calibration
    return {
        "split": inspection.info.split,
        "run": inspection.info.run,
        "optimistic": inspection.optimistic,
        "metrics": inspection.metrics.values,
        "counts": inspection.metrics.counts,
        "classes": [_class(row) for row in inspection.classes],
        "worst": [_clip(clip) for clip in inspection.worst],
        "best": [_clip(clip) for clip in inspection.best],
        "confusion": confusion_rows(inspection, 100),
        "calibration": None if found is None else {"error": _number(found.error), "bins": calibration_rows(found)},
        "broken": inspection.broken,
    }


def _class(row: ClassResult) -> Row:
    return {
        "class": row.name,
        "clips": row.clips,
        "value": row.value,
        "confused_with": row.confused_with,
        "confused": row.confused,
    }


def _clip(clip: ClipResult) -> Row:
    return {
        "id": clip.id,
        "labels": list(clip.labels),
        "value": clip.value,
        "margin": clip.margin,
        "highest": [{"class": name, "score": score} for name, score in clip.top],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
