"""``tinkit ensemble``: fuse runs or score files, fitted on one split and applied to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import ForceOption, FusionsOption, JsonOption, RunsOption, complete_members
from tinkit.cli.parser import examples
from tinkit.errors import UsageError
from tinkit.terminal import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.fusion import EnsembleSpec, Fusion, Measured
    from tinkit.metrics import Metrics

EPILOG = examples(
    "tinkit ensemble mmit",
    "tinkit ensemble demo --runs demo/runs --fusions demo/fusions",
    "tinkit ensemble mmit_r50 mmit_tsm_r50 --views 1x1 --weights best --name pair",
    "tinkit ensemble runs/a/scores/test-1x1-best.arrow theirs-test.arrow --method mean-ranks --fit none",
    "tinkit ensemble ./mine.toml --missing mean --force",
)


class SpaceChoice(StrEnum):
    """What a search takes weighted means of."""

    logits = "logits"
    probabilities = "probabilities"


class MissingChoice(StrEnum):
    """What to do with a clip that some member has no scores for."""

    error = "error"
    mean = "mean"


def _methods(incomplete: str) -> list[str]:
    """The methods that begin with what was typed."""
    from tinkit.fusion import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


def ensemble(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC|RUN|SCORES...",
            help="An ensemble, or runs and score files (.arrow).",
            autocompletion=complete_members,
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option("--name", help="The folder under --fusions.")] = None,
    fit: Annotated[str | None, typer.Option("--fit", help="The labelled split to fit on (val), or none.")] = None,
    apply: Annotated[
        list[str] | None, typer.Option("--apply", help="A further split to write (test), or none; may be repeated.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="METHOD", help="How members become one (search).\n\n{methods}", autocompletion=_methods
        ),
    ] = None,
    space: Annotated[SpaceChoice | None, typer.Option("--space", help="What a search averages (logits).")] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="What is fitted for: {metrics}."),
    ] = None,
    missing: Annotated[
        MissingChoice | None,
        typer.Option("--missing", help="Clips that a member could not decode: error, or mean of the others."),
    ] = None,
    parts: Annotated[int | None, typer.Option("--parts", help="Parts of the cross-validated estimate (5).")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of random starts and draws (0).")] = None,
    views: Annotated[str | None, typer.Option("--views", help="Which score files of each RUN, like 2x3.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Which score files of each RUN, like best.")] = None,
    runs: RunsOption = Path("runs"),
    fusions: FusionsOption = Path("fusions"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fuse the scores of several models into one file a split.

    Weights are fitted on a labelled split (--fit) for the challenge's metric and applied to the others (--apply). The
    result, fusions/NAME, holds fusion.json and a score file a split.
    """
    from tinkit.fusion import fuse, resolve_members

    changes = {
        "name": name,
        "fit": fit,
        "apply": tuple(apply) if apply else None,
        "method": method,
        "space": space and space.value,
        "metric": metric,
        "missing": missing and missing.value,
        "parts": parts,
        "seed": seed,
    }
    spec = _spec(words, runs, views, weights, changes)
    fusion = fuse(spec, resolve_members(spec.members, spec.splits, runs), fusions / spec.name, force=force)
    _warn(fusion)
    if as_json:
        print_json(fusion.record)
    elif fusion.written:
        _show(spec, fusion)


def _spec(
    words: list[str], runs: Path, views: str | None, weights: str | None, changes: dict[str, Any]
) -> EnsembleSpec:
    from tinkit.files.shipped import find_toml, shipped_names
    from tinkit.fusion import load_spec, make_spec, members_of

    specs = [word for word in words if word.endswith(".toml") or word in shipped_names("ensembles")]
    specs = [word for word in specs if not (runs / word).is_dir()]
    if not specs:
        return make_spec({"members": members_of(words, runs, views, weights)}, changes)
    if len(words) > 1:
        raise UsageError(f"{specs[0]} is an ensemble by itself: name it alone", fix="or name its runs instead")
    if views or weights:
        raise UsageError("--views and --weights are for runs; an ensemble's toml says them for each member")
    return load_spec(find_toml("ensembles", specs[0]), changes)


def _warn(fusion: Fusion) -> None:
    """Warnings about a fusion, apart from its numbers."""
    if trials := fusion.record.get("trial"):
        note(
            f"warning: the scores of {', '.join(trials)} are of a trial (a run or test that --limit, --overfit or "
            "--steps cut short): do not report this fusion"
        )
    if not fusion.written:
        note(f"{fusion.folder}: exists already, made from the same scores with the same options: nothing was changed")


def _show(spec: EnsembleSpec, fusion: Fusion) -> None:
    record = fusion.record
    measured = fusion.measured
    rows = []
    for number, member in enumerate(record["members"]):
        row = {"member": member["name"], "views": member["views"], "checkpoint": member["checkpoint"]}
        row["weight"] = "" if member["weight"] is None else f"{member['weight']:.3f}"
        rows.append(row | _percent(measured.members[number] if measured else None))
    blank = {"views": "", "checkpoint": "", "weight": ""}
    if measured:
        rows += [{"member": name, **blank, **_percent(metrics)} for name, metrics in _joint(measured).items()]
    title = f"{spec.name}: {spec.method}"
    print_table(title if not spec.fit else f"{title}; measured on {spec.fit}, in percent", rows)
    if measured and (remark := _remark(measured, record["metric"])):
        print_line(f"note: {remark}")
    if spec.fit and measured is None:
        print_line(f"note: {spec.fit} has no labels, so nothing was measured")
    for split, counts in record["missing_clips"].items():
        if lacking := {name: count for name, count in counts.items() if count}:
            print_line(f"{split}: clips without scores: {', '.join(f'{k} {v}' for k, v in lacking.items())}")
    for split in spec.splits:
        print_line(fusion.folder / f"{split}.arrow")


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


def _percent(metrics: Metrics | None) -> dict[str, float]:
    return {name: 100 * value for name, value in metrics.values.items()} if metrics else {}
