"""The section of a report on fusions: members, what the fusion is worth, and what it could do without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinkit.fusion.record import AccountRecord, FrontRecord, FusionRecord, IntervalRecord, value_of
from tinkit.report import figures
from tinkit.report.entries import Entry
from tinkit.report.section import Figure, Section, Table
from tinkit.terminal import percent

Row = dict[str, Any]

_ENDS = 15  # classes that are drawn at each end


def members_section(entries: Sequence[Entry]) -> Section:
    """Of every fusion its members, the way it took, its honest estimate, members' worth, and smaller fusions."""
    tables: list[Table] = []
    drawn: list[Figure] = []
    notes = []
    for entry in entries:
        if (record := entry.record) is None:
            continue
        way = record.method if record.chosen in ("", record.method) else f"{record.method} took {record.chosen}"
        notes.append(f"{entry.name}: {way}, fitted on {record.fit or 'nothing'}.")
        notes += _front_notes(entry.name, record)
        tables += _tables(entry.name, record)
        if record.worth is not None:
            drawn += _worth_figures(entry.name, record.worth)
        if record.front is not None:
            drawn.append(_front_figure(entry.name, record.front, record.metric))
    return Section("members", "Fusions and their members", notes, drawn, tables)


def _tables(name: str, record: FusionRecord) -> Iterator[Table]:
    if record.members:
        rows = [
            {
                "member": member.name,
                "views": member.views,
                "weight": member.weight,
                f"{record.metric} alone": percent(value_of(member.metrics, record.metric)),
                "clips/s": member.clips_per_s,
                "GFLOPs": member.gflops,
            }
            for member in record.members
        ]
        yield Table(f"Members of {name}", rows, sortable=True)
    if rows := _estimates(record):
        yield Table(f"What {name} is worth on other clips: {record.metric} in percent, intervals of 95%", rows)
    if record.choice is not None and record.choice.candidates:
        tried = [
            {
                "way": one.name,
                "taken": "yes" if one.name == record.chosen else "",
                "cross-validated": 100 * one.value,
                "below the best": 100 * one.below_best,
                "standard error": 100 * one.standard_error,
                "less likely, nats": one.less_likely,
                "its error": one.likelihood_error,
            }
            for one in record.choice.candidates
        ]
        yield Table(f"Ways that {name} has tried; the simplest within a standard error of the best is taken", tried)
    if record.worth is not None:
        worth = [
            {
                "member": one.name,
                "lost without it": percent(one.worth),
                "standard error": percent(one.standard_error),
                "can go": "yes" if one.can_go else "",
            }
            for one in record.worth.members
        ]
        caption = f"What members of {name} are worth, in points of {record.metric}, on {record.worth.clips} clips"
        yield Table(caption, worth, sortable=True)


def _estimates(record: FusionRecord) -> list[Row]:
    """What the fusion measures, the honest value first; the equal mean last."""
    metric, metrics, choice = record.metric, record.metrics, record.choice
    if choice is not None:
        return [
            _estimate("the choice (nested)", choice.nested, choice.improvement),
            _estimate("the way that won, had it been the only one (optimistic)", choice.optimistic),
            _estimate("equal mean", choice.equal_mean),
        ]
    if metrics.cross_validated is not None:
        return [
            _estimate("fitted (cross-validated)", value_of(metrics.cross_validated, metric), record.improvement),
            _estimate("fitted (optimistic)", value_of(metrics.fused, metric)),
            _estimate("equal mean", value_of(metrics.cross_validated_equal_mean, metric)),
        ]
    if metrics.fused is None:
        return []
    return [
        _estimate("the fusion (nothing was fitted)", value_of(metrics.fused, metric)),
        _estimate("equal mean", value_of(metrics.equal_mean, metric)),
    ]


def _estimate(what: str, value: float | None, above: IntervalRecord | None = None) -> Row:
    interval = (None, None, None) if above is None else (above.value, above.low, above.high)
    names = ("over the equal mean", "from", "to")
    row: Row = {"estimate": what, "percent": percent(value)}
    return row | dict(zip(names, map(percent, interval), strict=True))


def _worth_figures(name: str, account: AccountRecord) -> Iterator[Figure]:
    """How members' errors correlate, and what the fusion is above the equal mean by class."""
    names = [one.name for one in account.members]
    rows = [
        {"member": first, "other": second, "correlation": value}
        for first, own in zip(names, account.correlation, strict=False)
        for second, value in zip(names, own, strict=False)
    ]
    caption = f"{name}: correlation of members' errors; those that err alike add little to each other"
    yield Figure(caption, figures.correlation(rows, names, caption), Table(caption, rows))
    known = [(label, value) for label, value in account.by_class.items() if value is not None]
    gains = [{"class": label, "improvement": 100 * value} for label, value in sorted(known, key=lambda one: -one[1])]
    if any(value for _, value in known):
        shown = gains if len(gains) <= 2 * _ENDS else [*gains[:_ENDS], *gains[-_ENDS:]]
        caption = f"{name} over the equal mean by class, cross-validated, in points"
        if len(shown) < len(gains):
            caption += f": the {_ENDS} largest and the {_ENDS} smallest of {len(gains)}"
        spec = figures.bars(shown, "class", "improvement", caption, title="points")
        yield Figure(caption, spec, Table(caption, shown))


def _front_figure(name: str, front: FrontRecord, metric: str) -> Figure:
    rows = [
        {
            "members": " + ".join(one.members),
            front.by: one.clips_per_s if front.by == "clips/s" else one.gflops,
            "value": 100 * one.value,
            "front": "yes" if one.on_front else "no",
            "picked": "yes" if one.picked else "",
        }
        for one in front.subsets
    ]
    said = "their clips a second" if front.by == "clips/s" else "the GFLOPs of a clip"
    caption = f"{name}: {metric}, cross-validated, of fusions of fewer members over {said}"
    spec = figures.front(rows, caption, by=front.by, y_title=f"{metric}, percent")
    return Figure(caption, spec, Table(caption, rows, sortable=True))


def _front_notes(name: str, record: FusionRecord) -> Iterator[str]:
    front = record.front
    if front is None:
        return
    if front.budget is not None and front.expected is not None:
        yield (
            f"{name}: its members are the best within {front.budget:g} {front.by} (the ring). Joined in the way that "
            f"all took, with the picking repeated, {record.metric} of {100 * front.expected:.2f} is expected of them."
        )
    if not front.complete:
        yield f"{name}: there was no time to measure all smaller fusions."
    if len(front.devices) > 1:
        yield f"{name}: the speeds are of several devices and say little of each other: {'; '.join(front.devices)}."
