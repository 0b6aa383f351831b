"""The sections of a report that labelled scores give: classes, confusion, calibration, and clips without scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinkit.inspection import tables
from tinkit.inspection.classes import ClassResult, value_name
from tinkit.inspection.inspection import Inspection
from tinkit.report import figures
from tinkit.report.entries import Entry
from tinkit.report.section import Figure, Section, Table
from tinkit.terminal import percent

_DRAWN = 40  # classes: more do not fit into a grid that can be read
_ENDS = 15  # classes at each end of the chart of improvements
_PAIRS = 30


def classes_section(entries: Sequence[Entry], baseline: Entry | None) -> Section:
    """A row a class with the value of every entry, and what each gains over ``baseline``."""
    inspected = [(entry, entry.inspection) for entry in entries if entry.inspection is not None]
    if not inspected:
        return Section("classes", "Classes")
    task = inspected[0][1].info.task
    notes, compared = [], []
    for entry, found in inspected:
        if found.info.task != task:
            notes.append(f"{entry.name} is left out: its task is {found.info.task}, not {task}")
        else:
            compared.append((entry, found))
    by_name = {entry.name: {row.name: row for row in found.classes} for entry, found in compared}
    first = compared[-1][1]
    against = baseline.name if baseline is not None and baseline.name in by_name and len(by_name) > 1 else None
    rows = [_class_row(row, by_name, against, value_name(task)) for row in first.classes]
    notes.append(f"{value_name(task)} in percent, of the {compared[-1][1].info.split} split.")
    if against:
        notes.append(f"Improvements are over {against}.")
    last = compared[-1][0].name
    drawn = _improvements(by_name, against, last) if against and last != against else None
    return Section("classes", "Classes", notes, [drawn] if drawn else [], [Table("Every class", rows, sortable=True)])


def _class_row(
    row: ClassResult, by_name: dict[str, dict[str, ClassResult]], against: str | None, value: str
) -> dict[str, Any]:
    line: dict[str, Any] = {"class": row.name, "clips": row.clips}
    for name, classes in by_name.items():
        line[f"{value} {name}"] = _value(classes, row.name)
    if against:
        base = _value(by_name[against], row.name)
        for name, classes in by_name.items():
            if name != against:
                own = _value(classes, row.name)
                line[f"{name} over {against}"] = None if own is None or base is None else own - base
    return line | {"confused with": row.confused_with, "times": row.confused}


def _value(classes: dict[str, ClassResult], name: str) -> float | None:
    return percent(classes[name].value) if name in classes else None


def _improvements(by_name: dict[str, dict[str, ClassResult]], against: str, name: str) -> Figure | None:
    gains: list[dict[str, Any]] = [
        {"class": label, "improvement": own - base}
        for label in by_name[name]
        if (own := _value(by_name[name], label)) is not None and (base := _value(by_name[against], label)) is not None
    ]
    if not gains:
        return None
    ordered = sorted(gains, key=lambda row: -row["improvement"])
    shown = ordered if len(ordered) <= 2 * _ENDS else [*ordered[:_ENDS], *ordered[-_ENDS:]]
    caption = f"Improvement of {name} over {against} by class, in points"
    if len(shown) < len(ordered):
        caption += f": the {_ENDS} largest and the {_ENDS} smallest of {len(ordered)}"
    return Figure(caption, figures.bars(shown, "class", "improvement", caption, title="points"), Table(caption, shown))


def confusion_section(entries: Sequence[Entry]) -> Section:
    """What the last entry with labelled scores confuses: a grid of few classes, and the strongest pairs."""
    found = [(entry, entry.inspection) for entry in entries if entry.inspection is not None]
    if not found:
        return Section("confusion", "Confusion")
    entry, inspection = found[-1]
    pairs = tables.confusion_rows(inspection, _PAIRS)
    notes = [
        f"Of {entry.name}. A clip counts once for each of its classes: under the class itself where no wrong class "
        "scores above it, else under the wrong class with the highest score."
    ]
    drawn = [_grid(inspection)] if len(inspection.classes) <= _DRAWN else []
    shown = [Table("The strongest confusions", pairs, sortable=True)] if pairs else []
    return Section("confusion", "Confusion", notes, drawn, shown)


def _grid(inspection: Inspection) -> Figure:
    names, counts = inspection.info.classes, inspection.confusion
    of_class = counts.sum(axis=1)
    rows = [
        {
            "true": names[own],
            "found": names[rival],
            "clips": int(counts[own, rival]),
            "share": float(counts[own, rival] / of_class[own]),
        }
        for own, rival in zip(*np.nonzero(counts), strict=True)
    ]
    caption = "What ranks highest among a clip's wrong classes and its own, as a share of the clips of each class"
    return Figure(caption, figures.heatmap(rows, names, caption), Table(caption, rows))


def calibration_section(entries: Sequence[Entry]) -> Section:
    """Reliability diagrams of all entries, and their expected calibration errors."""
    rows, errors, notes = [], [], []
    for entry in entries:
        if entry.inspection is None:
            continue
        found = entry.inspection.calibration
        if found is None:
            notes.append(f"{entry.name} is left out: ranks are not probabilities.")
            continue
        errors.append({"of": entry.name, "expected calibration error, points": 100 * found.error})
        for row in tables.calibration_rows(found):
            if row["share true"] is not None:
                rows.append(
                    {"series": entry.name, "predicted": row["mean probability"], "observed": row["share true"]}
                    | {"predictions": row["predictions"]}
                )
    if not rows:
        return Section("calibration", "Calibration", notes)
    caption = "Share of predictions that are true, over their mean probability; the dashed line is perfect calibration"
    drawn = Figure(caption, figures.calibration(rows, caption), Table(caption, rows))
    return Section("calibration", "Calibration", notes, [drawn], [Table("Expected calibration error", errors)])


def broken_section(entries: Sequence[Entry]) -> Section:
    """Clips without scores, and clips that were left out in training."""
    rows = []
    for entry in entries:
        if entry.inspection is not None:
            split = entry.inspection.info.split
            rows += [{"of": entry.name, "when": f"test, {split}", "clip": clip} for clip in entry.inspection.broken]
        for line in entry.left_out.to_dict("records"):
            when = f"training, epoch {int(line['epoch']) + 1}"
            rows.append({"of": entry.name, "when": when, "clip": f"{line['id']}: {line['reason']}"})
    if not rows:
        return Section("broken", "Broken clips", ["None: every clip was decoded."])
    most = 500
    notes = [f"{len(rows)} in all; the first {most} are listed."] if len(rows) > most else []
    return Section("broken", "Broken clips", notes, tables=[Table("Clips left out", rows[:most], sortable=True)])
