"""Measured numbers of runs and fusions beside the published ones of their recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinkit.engine.protocol import fits, stated
from tinkit.engine.run import Run, find_run
from tinkit.errors import UserError
from tinkit.metrics import Metrics
from tinkit.recipe import Published
from tinkit.scores import ScoreInfo, read_scores
from tinkit.scores.protocol import protocol_words
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


def measured_row(
    name: str, info: ScoreInfo, metric: str, measured: Metrics | None, entry: Published | None
) -> dict[str, Any]:
    """What scores with ``info`` measured by ``metric``, beside the published number that ``entry`` is."""
    protocol = info.protocol | {"average": info.average}
    row = _row(name, info.split, info.views, protocol, metric, entry)
    row |= {"weights": info.weights, "note": _note(info, measured)}
    if measured is None or metric not in measured.values:
        return row
    row["measured"] = value = 100 * measured[metric]
    if entry is None or info.split in info.trained_on:  # a number of clips that were trained on is no measurement
        return row
    row["difference"] = value - entry.number
    if entry.spread is not None:
        # a difference that is the spread on paper may be more in its last bit
        row["within"] = "yes" if abs(row["difference"]) <= entry.spread + 1e-9 else "no"
    return row


def _fusion_rows(folder: Path) -> list[dict[str, Any]]:
    """A fusion's splits; where its weights were fitted, the cross-validated estimate stands for the optimistic one."""
    record = json.loads((folder / "fusion.json").read_text())
    estimate = record["metrics"].get("cross_validated")
    rows = []
    for path in sorted(folder.glob("*.arrow")):
        table = read_scores(path)
        if (measured := measure(table)) is None:
            continue
        for metric in measured.values:
            row = measured_row(folder.name, table.info, metric, measured, None)
            if estimate is not None and table.info.split == record["fit"]:
                row |= {"weights": "cross-validated", "measured": 100 * estimate[metric]}
                row["note"] = _fewer(estimate["counts"]["measured"], measured)
            rows.append(row)
    return rows


def _fewer(clips: int, measured: Metrics) -> str | None:
    """What to say of an estimate that clips lack which some members have no scores of."""
    every = measured.counts["measured"]
    return f"{clips} of {every} clips: those that all members have" if clips < every else None


def _run_rows(run: Run) -> list[dict[str, Any]]:
    published = run.load_recipe().published
    scores = run.folder / "scores"
    rows: list[dict[str, Any]] = []
    shown: set[int] = set()
    for path in [*sorted(scores.glob("*.arrow")), *sorted(scores.glob("published/*.arrow"))]:
        table = read_scores(path)
        if (measured := measure(table)) is None:
            continue
        for metric in measured.values:
            same = [n for n, entry in enumerate(published) if entry.metric == metric and fits(entry, table.info)]
            shown |= set(same)
            entries: list[Published | None] = [published[n] for n in same] or [None]
            rows += [measured_row(run.name, table.info, metric, measured, entry) for entry in entries]
    for number, entry in enumerate(published):
        if number not in shown:
            protocol = stated(entry) | {"average": entry.average}
            rows.append(_row(run.name, entry.split, entry.views, protocol, entry.metric, entry))
    return rows


def _row(
    name: str, split: str, views: str, protocol: Mapping[str, Any], metric: str, entry: Published | None
) -> dict[str, Any]:
    """A row with nothing measured yet."""
    return {
        "run": name,
        "split": split,
        "views": views,
        "protocol": protocol_words(protocol) or None,
        "weights": None,
        "metric": metric,
        "measured": None,
        "published": None if entry is None else float(entry.number),
        "difference": None,
        "spread": None if entry is None else entry.spread,
        "within": None,
        "source": None if entry is None else entry.source,
        "note": None,
    }


def _note(info: ScoreInfo, measured: Metrics | None) -> str | None:
    """What a reader must know before comparing."""
    notes = []
    if info.split in info.trained_on:
        notes.append("its weights have seen this split")
    if measured is not None and (broken := measured.counts.get("without_scores", 0)):
        notes.append(f"{broken} clips without scores")
    return "; ".join(notes) or None
