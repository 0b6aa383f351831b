"""A whole report: what is read, in which order it stands, and the page that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tinkit import __version__
from tinkit.engine.evaluation.compare import comparison_rows
from tinkit.errors import UsageError
from tinkit.report.clips import clips_section
from tinkit.report.entries import Entry, read_entries
from tinkit.report.fused import members_section
from tinkit.report.page import check_page, write_page
from tinkit.report.scored import broken_section, calibration_section, classes_section, confusion_section
from tinkit.report.section import Section
from tinkit.report.trained import (
    curves_section,
    offsets_section,
    recipes_section,
    results_section,
    speed_section,
)


@dataclass(frozen=True)
class Request:
    """What a report is asked for. ``baseline`` names the entry that improvements are over; None: the first TSN."""

    names: Sequence[str]
    runs: Path = Path("runs")
    fusions: Path = Path("fusions")
    split: str = "val"
    baseline: str | None = None
    frames: bool = True


@dataclass(frozen=True)
class Written:
    """A page: its file, its size in bytes, and what it lacks."""

    file: Path
    size: int
    absent: Sequence[str]


def make_report(request: Request, file: Path) -> Written:
    """Write the page of ``request`` to ``file``.

    Raises :class:`~tinkit.errors.UserError` for names that are neither run nor fusion, for damaged files, where the
    page would be over 5 MB, and where `tinkit[report]` is not installed.
    """
    check_page(file)
    entries = read_entries(request.names, request.split, request.runs, request.fusions)
    baseline = _baseline(entries, request.baseline)
    rows = comparison_rows(request.names, request.runs, request.fusions)
    absent = [line for entry in entries for line in entry.absent]
    sections = [
        results_section(rows),
        members_section(entries),
        classes_section(entries, baseline),
        confusion_section(entries),
        calibration_section(entries),
        clips_section(entries, frames=request.frames),
        offsets_section(entries),
        curves_section(entries),
        speed_section(entries),
        broken_section(entries),
        recipes_section(entries),
        Section("absent", "What this page lacks", absent),
    ]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = f"tinkit report: {', '.join(entry.name for entry in entries)}"
    made = f"Made {now} by tinkit {__version__}; classes and clips are of the split {request.split}."
    return Written(file, write_page(file, title, made, sections), absent)


def _baseline(entries: Sequence[Entry], name: str | None) -> Entry | None:
    """The entry that improvements are over: the named one, else the first TSN, else the first with labelled scores."""
    if name is not None:
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            raise UsageError(
                f"--baseline {name}: not part of the report", expected=", ".join(entry.name for entry in entries)
            )
        return found
    plain = [entry for entry in entries if entry.recipe is not None and entry.recipe.model.temporal == "tsn"]
    scored = [entry for entry in entries if entry.inspection is not None]
    return next(iter([*(entry for entry in plain if entry.inspection is not None), *scored]), None)
