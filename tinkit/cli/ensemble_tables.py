"""What ``tinkit ensemble`` prints of a fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinkit.terminal import percents, print_line, print_table

if TYPE_CHECKING:
    from tinkit.fusion import Applied, EnsembleSpec, Fusion, Measured
    from tinkit.metrics import Metrics


def show_fusion(spec: EnsembleSpec, fusion: Fusion) -> None:
    """Members and fusion beside each other, how ``auto`` chose, notes, and what was written."""
    record = fusion.record
    measured = fusion.measured
    rows = []
    for number, member in enumerate(record["members"]):
        row = {"member": member["name"], "views": member["views"], "checkpoint": member["checkpoint"]}
        row["weight"] = "" if member["weight"] is None else f"{member['weight']:.3f}"
        rows.append(row | (percents(measured.members[number].values) if measured else {}))
    blank = {"views": "", "checkpoint": "", "weight": ""}
    if measured:
        rows += [{"member": name, **blank, **percents(metrics.values)} for name, metrics in _joint(measured).items()]
    chosen = "" if record["chosen"] == spec.method else f", {record['chosen']}"
    title = f"{spec.name}: {spec.method}{chosen}"
    print_table(title if not spec.fit else f"{title}; measured on {spec.fit}, in percent", rows)
    if record["choice"]:
        _show_choice(record["choice"], record["metric"], record["chosen"])
    if line := _draw_of(record):
        print_line(line)
    if record["worth"]:
        _show_worth(record["worth"], record["metric"])
    if record["front"]:
        _show_front(record["front"], record["metric"])
    if measured and (remark := _remark(measured, record["metric"])):
        print_line(f"note: {remark}")
    for remark in record["notes"]:
        print_line(f"note: {remark}")
    if spec.fit and measured is None:
        print_line(f"note: {spec.fit} has no labels, so nothing was measured")
    for split, counts in record["missing_clips"].items():
        if lacking := {name: count for name, count in counts.items() if count}:
            print_line(f"{split}: clips without scores: {', '.join(f'{k} {v}' for k, v in lacking.items())}")
    for split in spec.splits:
        print_line(fusion.folder / f"{split}.arrow")


def _draw_of(record: dict[str, Any]) -> str | None:
    """What is to be said where a fusion was fitted, or chosen, on a draw of the labelled clips."""
    choice = record["choice"] or {"clips": record["fitted_on_clips"], "labelled_clips": record["labelled_clips"]}
    some, known = choice["clips"], choice["labelled_clips"]
    if some == known:
        return None
    what = "fitted" if record["choice"] is None else "chosen and fitted"
    line = f"{what} on {some:,} of {known:,} labelled clips, drawn so that every class has its share"
    if record["fitted_on_clips"] and not record["rejected"]:
        line += f"; better than the equal mean on all of {record['fit']}, too"
    return line


def _show_worth(worth: dict[str, Any], metric: str) -> None:
    """What each member is worth, which two say most the same, and the classes that the fusion helps and hurts."""
    names = [one["name"] for one in worth["members"]]
    rows = []
    for number, one in enumerate(worth["members"]):
        others = [(value, names[k]) for k, value in enumerate(worth["correlation"][number]) if k != number]
        alike = max(others, default=(0.0, ""))
        known = one["worth"] is not None
        rows.append(
            {
                "member": one["name"],
                "lost without it": f"{100 * one['worth']:.2f}" if known else "not measured",
                "standard error": f"{100 * one['standard_error']:.2f}" if known else "",
                "can go": "yes" if one["can_go"] else "",
                "errs most like": f"{alike[1]} ({alike[0]:.2f})" if alike[1] else "",
            }
        )
    print_table(f"worth, cross-validated on {worth['clips']} clips, in points of {metric}", rows)
    if worth["together"] is not None:
        print_line(f"without all that can go: {100 * worth['together']:.2f} points lost")
    ranked = sorted((value, name) for name, value in worth["by_class"].items() if value is not None)
    for said, chosen in (("most helped", ranked[::-1][:3]), ("most hurt", [one for one in ranked[:3] if one[0] < 0])):
        if chosen:
            shown = ", ".join(f"{name} {100 * value:+.1f}" for value, name in chosen)
            print_line(f"classes {said} against the equal mean: {shown}")


def _show_front(front: dict[str, Any], metric: str) -> None:
    """The fusions that no other beats in both accuracy and cost, and which of them the budget picks."""
    by, key = front["by"], "gflops" if front["by"] == "GFLOPs" else "clips_per_s"
    shown = [one for one in front["subsets"] if one["on_front"] or one["picked"]]
    rows = [
        {
            "members": " + ".join(one["members"]) + (" (taken)" if one["picked"] else ""),
            by: f"{one[key]:.4g}",
            f"{metric}, cross-validated": 100 * one["value"],
        }
        for one in shown
    ]
    against = "GFLOPs" if by == "GFLOPs" else "speed"
    print_table(f"accuracy against {against}: the best of {len(front['subsets'])} fusions", rows)
    if front["budget"] is not None:
        expected = f"{100 * front['expected']:.2f}, {100 * front['optimism']:.2f} less than what was picked measured"
        allowed = f"{front['budget']:g} {by} and {'fewer' if by == 'GFLOPs' else 'more'}"
        print_line(f"{metric} on other clips, picked among those of {allowed}: {expected}")
    if by == "GFLOPs" and front["budget"] is None:
        print_line("note: by the GFLOPs of a clip, since the speed of some members is not known")
    if not front["complete"]:
        print_line("note: there was no time for all of them: --minutes")
    if len(front["devices"]) > 1:
        print_line(f"note: speeds of several devices say little of each other: {'; '.join(front['devices'])}")


def _show_choice(choice: dict[str, Any], metric: str, chosen: str) -> None:
    """The ways that ``auto`` tried, and what the choice is worth beside what it seems to be."""
    rows = []
    for one in choice["candidates"]:
        row = {
            "way": one["name"] + (" (taken)" if one["name"] == chosen else ""),
            f"{metric}, cross-validated": 100 * one["value"],
            "below the best": 100 * one["below_best"],
            "standard error": 100 * one["standard_error"],
        }
        if one["less_likely"] is not None:
            row |= {"less likely": f"{one['less_likely']:.3f}", "its error": f"{one['likelihood_error']:.3f}"}
        rows.append(row)
    print_table(f"auto: the simplest within a standard error of the best, in points of {metric}", rows)
    for name, why in choice["skipped"].items():
        print_line(f"note: {name} was not tried: {why}")
    gained = {name: f"{100 * value:+.2f}" for name, value in choice["improvement"].items()}
    estimate = f"{100 * choice['nested']:.2f}, {gained['value']} over the equal mean"
    print_line(f"{metric} on other clips like these (nested): {estimate} (95%: {gained['low']} to {gained['high']})")
    beside = f"{100 * choice['optimistic']:.2f}; of the equal mean {100 * choice['equal_mean']:.2f}"
    print_line(f"of the way that won, had it been the only one (optimistic): {beside}")
    if choice["fell_back"]:
        print_line("note: by that estimate the choice is worth nothing: the equal mean is taken")


def show_applied(split: str, applied: Applied) -> None:
    """What a fusion made of another split."""
    if not applied.written:
        print_line(f"{applied.path}: exists already, of the same scores: nothing was changed")
        return
    if lacking := {name: count for name, count in applied.missing.items() if count}:
        print_line(f"{split}: clips without scores: {', '.join(f'{k} {v}' for k, v in lacking.items())}")
    if applied.metrics:
        print_table(f"measured on {split}, in percent", [percents(applied.metrics.values)])
    print_line(applied.path)


def _joint(measured: Measured) -> dict[str, Metrics]:
    """What the members together measured, by the name of the row; where the estimate has fewer clips, it says so."""
    rows = {"equal mean": measured.equal}
    estimate, alike = measured.cross_validated, measured.cross_validated_equal
    if not estimate or not alike:
        return rows if measured.fused is measured.equal else rows | {"fused": measured.fused}
    unused = ", not used" if measured.rejected else ""
    rows[f"fitted (optimistic){unused}"] = measured.rejected or measured.fused
    clips = estimate.counts["measured"]
    few = f", {clips} clips" if clips < measured.equal.counts["measured"] else ""
    if few:
        rows[f"equal mean{few}"] = alike
    rows[f"fitted (cross-validated){few}{unused}"] = estimate
    return rows


def _remark(measured: Measured, metric: str) -> str | None:
    """What is to be said of fitted weights that are worth nothing."""
    if measured.reason == "whole split":
        return f"by {metric}, over all clips, the fitted weights are no better than equal ones: the weights are equal"
    if measured.reason:
        return (
            f"by {metric}, cross-validated, the fitted weights are no better than the equal mean: the weights are equal"
        )
    estimate, alike = measured.cross_validated, measured.cross_validated_equal
    if estimate and alike and estimate[metric] <= alike[metric]:
        return f"by {metric}, cross-validated, the fitted weights are no better than the equal mean"
    return None
