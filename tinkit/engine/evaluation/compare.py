"""Measured numbers of runs and fusions beside the published ones of their recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinkit.engine.evaluation.protocol import fits, stated
from tinkit.engine.runs.run import Run
from tinkit.errors import UserError
from tinkit.files.group import refuse_unfinished
from tinkit.files.shipped import shipped, shipped_names
from tinkit.fusion.record import RECORD, check_recorded, read_record, value_of
from tinkit.fusion.spec import PublishedFusion, load_spec
from tinkit.metrics import Metrics
from tinkit.recipe import Published
from tinkit.run_folder import SCORES, find_run, score_files
from tinkit.scores import ScoreInfo, verified_scores
from tinkit.scores.protocol import protocol_words
from tinkit.scores.tools import measure


def comparison_rows(names: Sequence[str], runs: Path, fusions: Path) -> list[dict[str, Any]]:
    """A row a (score file with labels, metric), then a row for each published number that nothing was measured for.

    A built-in ensemble that was not fused yet has rows of the second kind only.
    """
    rows: list[dict[str, Any]] = []
    for name in names:
        fusion = next((path for path in (fusions / name, Path(name)) if _is_fusion(path)), None)
        if fusion is not None:
            rows += _fusion_rows(fusion)
        elif name in shipped_names("ensembles") and not (runs / name).is_dir():
            published = load_spec(shipped("ensembles") / f"{name}.toml").published
            rows += [_unmeasured(name, entry) for entry in published]
        else:
            rows += _run_rows(Run(find_run(name, runs)))
    if not rows:
        raise UserError(f"{', '.join(names)}: nothing was tested yet and nothing published", fix="tinkit test RUN")
    return rows


def _is_fusion(folder: Path) -> bool:
    refuse_unfinished(folder / RECORD)
    return (folder / RECORD).is_file()


def measured_row(
    name: str,
    info: ScoreInfo,
    metric: str,
    measured: Metrics | None,
    entry: Published | PublishedFusion | None,
    departs: Sequence[str] = (),
) -> dict[str, Any]:
    """What scores with ``info`` measured by ``metric``, beside the published number that ``entry`` is.

    ``departs`` are the recipe's keys whose values are not those of the training that was published.
    """
    protocol = info.protocol | {"average": info.average}
    row = _row(name, info.split, info.views, protocol, metric, entry)
    row |= {"weights": info.weights, "note": _note(info, measured, departs if entry is not None else ())}
    if measured is None or metric not in measured.values:
        return row
    row["measured"] = value = 100 * measured[metric]
    if entry is None or info.split in info.trained_on:  # clips that were trained on measure nothing
        return row
    return row | _beside(value, entry)


def _beside(value: float, entry: Published | PublishedFusion | None) -> dict[str, Any]:
    """The columns that set ``value``, in percent, beside a published number; none where there is none."""
    if entry is None:
        return {}
    columns: dict[str, Any] = {
        "published": float(entry.number),
        "difference": value - entry.number,
        "spread": entry.spread,
        "source": entry.source,
    }
    if entry.spread is not None:
        # a difference that is the spread on paper may be more in its last bit
        columns["within"] = "yes" if abs(columns["difference"]) <= entry.spread + 1e-9 else "no"
    return columns


def _fusion_rows(folder: Path) -> list[dict[str, Any]]:
    """A fusion's splits beside what was published for its ensemble, and the published numbers of other splits.

    Where its weights were fitted, the cross-validated estimate stands for the optimistic number; where ``auto`` chose
    the way too, the nested one for the metric that it chose by.
    """
    record = read_record(folder / RECORD)
    published = record.published
    estimate = record.metrics.cross_validated
    name = folder.absolute().name  # of the path as it was given: a link keeps its own
    rows, shown = [], []
    for path in sorted(folder / item.path for item in record.outputs.values()):
        table, digest = verified_scores(path)
        check_recorded(path, digest)
        if (measured := measure(table)) is None:
            continue
        fitted = estimate if table.info.split == record.fit else None
        for metric in measured.values:
            same = [entry for entry in published if (entry.metric, entry.split) == (metric, table.info.split)]
            shown += same
            entries: list[PublishedFusion | None] = [*same] or [None]
            for entry in entries:
                row = measured_row(name, table.info, metric, measured, None if fitted else entry)
                if fitted is None:
                    rows.append(_noted(row, entry))
                    continue
                chosen = record.expected(metric) if record.choice and metric == record.metric else None
                value = chosen[1] if chosen else value_of(fitted, metric)
                row["weights"] = "nested" if chosen else "cross-validated"
                row["note"] = _fewer(fitted.counts.get("measured", 0), measured)
                rows.append(_estimated(row, value, entry))
    return rows + [_unmeasured(name, entry) for entry in published if entry not in shown]


def _estimated(row: dict[str, Any], value: float | None, entry: PublishedFusion | None) -> dict[str, Any]:
    """``row`` with an estimate in the place of what was measured on the clips of the fit."""
    row |= {"measured": None if value is None else 100 * value}
    return _noted(row if value is None else row | _beside(100 * value, entry), entry)


def _unmeasured(name: str, entry: PublishedFusion) -> dict[str, Any]:
    """The row of an ensemble's published number that nothing was measured for."""
    return _noted(_row(name, entry.split, None, {}, entry.metric, entry), entry)


def _noted(row: dict[str, Any], entry: PublishedFusion | None) -> dict[str, Any]:
    """``row`` with the entry's note behind its own."""
    return row | {"note": "; ".join(filter(None, (row["note"], entry.note if entry else None))) or None}


def _fewer(clips: int, measured: Metrics) -> str | None:
    """What to say of an estimate without the clips that some members have no scores of."""
    every = measured.counts["measured"]
    return f"{clips} of {every} clips: those that all members have" if clips < every else None


def _run_rows(run: Run) -> list[dict[str, Any]]:
    recipe = run.load_recipe()
    published, departs = recipe.published, recipe.departs
    rows: list[dict[str, Any]] = []
    shown: set[int] = set()
    for path in [*score_files(run.folder), *sorted((run.folder / SCORES).glob("published/*.arrow"))]:
        table, _ = verified_scores(path)
        if (measured := measure(table)) is None:
            continue
        for metric in measured.values:
            same = [n for n, entry in enumerate(published) if entry.metric == metric and fits(entry, table.info)]
            shown |= set(same)
            entries: list[Published | None] = [published[n] for n in same] or [None]
            rows += [measured_row(run.name, table.info, metric, measured, entry, departs) for entry in entries]
    for number, entry in enumerate(published):
        if number not in shown:
            protocol = stated(entry) | {"average": entry.average}
            row = _row(run.name, entry.split, entry.views, protocol, entry.metric, entry)
            rows.append(row | {"note": _departure(departs)})
    return rows


def _departure(departs: Sequence[str]) -> str | None:
    """That a published number is of another training than this run's; None where it is not."""
    if not departs:
        return None
    more = f" and {len(departs) - 5} more" if len(departs) > 5 else ""
    return f"trained otherwise than published: {', '.join(departs[:5])}{more}"


def _row(
    name: str,
    split: str,
    views: str | None,
    protocol: Mapping[str, Any],
    metric: str,
    entry: Published | PublishedFusion | None,
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


def _note(info: ScoreInfo, measured: Metrics | None, departs: Sequence[str] = ()) -> str | None:
    """What a reader must know before comparing."""
    notes = ["a trial, cut short"] if info.trial else []
    if info.split in info.trained_on:
        notes.append("its weights have seen this split")
    if measured is not None and (broken := measured.counts.get("without_scores", 0)):
        notes.append(f"{broken} clips without scores")
    if departure := _departure(departs):
        notes.append(departure)
    return "; ".join(notes) or None
