"""``tinkit ensemble``: fuse runs or score files, fitted on one split and applied to another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import ForceOption, FusionsOption, JsonOption, RunsOption, complete_members
from tinkit.cli.parser import examples
from tinkit.errors import UsageError
from tinkit.terminal import note, print_json

if TYPE_CHECKING:
    from tinkit.fusion import EnsembleSpec, Fusion

EPILOG = examples(
    "tinkit ensemble mmit",
    "tinkit ensemble demo --runs demo/runs --fusions demo/fusions",
    "tinkit ensemble mmit_r50 mmit_tsm_r50 --views 1x1 --weights best --name pair",
    "tinkit ensemble runs/a/scores/test-1x1-best.arrow theirs-test.arrow --method mean-ranks --fit none",
    "tinkit ensemble mmit --budget 20",
    "tinkit ensemble ./mine.toml --missing mean --force",
    "tinkit ensemble fusions/mmit --apply test2",
)


class SpaceChoice(StrEnum):
    """What a search takes weighted means of."""

    logits = "logits"
    probabilities = "probabilities"


class ScaleChoice(StrEnum):
    """What the members' logits are divided by."""

    spread = "spread"
    none = "none"


class MissingChoice(StrEnum):
    """What to do with a clip that some member has no scores for."""

    error = "error"
    mean = "mean"


def _methods(incomplete: str) -> list[str]:
    """The methods that begin with what was typed."""
    from tinkit.fusion import AUTO, METHODS

    return [name for name in (AUTO, *METHODS) if name.startswith(incomplete)]


def ensemble(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC|RUN|SCORES|FUSION...",
            help="An ensemble, or runs, fusions and score files (.arrow); a fusion alone is applied to --apply.",
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
            "--method", metavar="METHOD", help="How members become one (auto).\n\n{methods}", autocompletion=_methods
        ),
    ] = None,
    space: Annotated[SpaceChoice | None, typer.Option("--space", help="What is averaged (logits).")] = None,
    scale: Annotated[
        ScaleChoice | None, typer.Option("--scale", help="What logits are divided by before a mean (spread).")
    ] = None,
    power: Annotated[float | None, typer.Option("--power", help="Of the power mean (0.5).")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="What auto may take, and --worth, and --front (15).")
    ] = None,
    worth: Annotated[bool, typer.Option("--worth", help="Measure what each member is worth, too.")] = False,
    front: Annotated[
        bool, typer.Option("--front", help="Measure fusions of fewer members, too, beside clips a second or GFLOPs.")
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="CLIPS_PER_S", help="Take the best members that together are as fast."),
    ] = None,
    budget_gflops: Annotated[
        float | None,
        typer.Option("--budget-gflops", metavar="N", help="Take the best members that a clip takes no more GFLOPs."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="What is fitted for: {metrics}."),
    ] = None,
    missing: Annotated[
        MissingChoice | None,
        typer.Option("--missing", help="Clips that a member could not decode: error, or mean of the others."),
    ] = None,
    parts: Annotated[int | None, typer.Option("--parts", help="Parts of the cross-validated estimate.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of random starts and draws (0).")] = None,
    views: Annotated[str | None, typer.Option("--views", help="Which score files of each RUN, like 2x3.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Which score files of each RUN, like best.")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A member's scores of --apply, for a FUSION; may be repeated."),
    ] = None,
    runs: RunsOption = Path("runs"),
    fusions: FusionsOption = Path("fusions"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fuse the scores of several models into one file a split.

    Weights are fitted on a labelled split (--fit) for the challenge's metric and applied to the others (--apply). The
    result, fusions/NAME, holds fusion.json and a score file a split.
    """
    from tinkit.cli.ensemble_tables import show_fusion
    from tinkit.fusion import fuse, resolve_members

    changes = {
        "name": name,
        "fit": fit,
        "apply": tuple(apply) if apply else None,
        "method": method,
        "space": space and space.value,
        "scale": scale and scale.value,
        "power": power,
        "minutes": minutes,
        "worth": worth or None,
        "front": front or None,
        "budget": budget,
        "budget_gflops": budget_gflops,
        "metric": metric,
        "missing": missing and missing.value,
        "parts": parts,
        "seed": seed,
    }
    if (made := _made_before(words, runs, fusions)) is not None:
        if any(value is not None for key, value in changes.items() if key != "apply") or views or weights or not apply:
            raise UsageError(
                f"{made} is a fusion already, with all that it has learned: it can be applied, not made anew",
                fix="tinkit ensemble FUSION --apply SPLIT, and no option of a new fusion",
            )
        _apply(made, apply, beside or [], force=force, as_json=as_json)
        return
    if beside:
        raise UsageError("--with names scores for a fusion that is applied to another split, not for a new one")
    spec = _spec(words, runs, views, weights, changes)
    fusion = fuse(spec, resolve_members(spec.members, spec.splits, runs), fusions / spec.name, force=force)
    _warn(fusion)
    if as_json:
        print_json(fusion.record)
    elif fusion.written:
        show_fusion(spec, fusion)


def _made_before(words: list[str], runs: Path, fusions: Path) -> Path | None:
    """The folder of the fusion that is the only word; None where there are more, or something else has that name."""
    from tinkit.files.shipped import shipped_names
    from tinkit.fusion.record import RECORD
    from tinkit.run_folder import find_folder

    if len(words) != 1 or words[0].endswith((".toml", ".arrow")):
        return None
    path = Path(words[0])
    if (path / RECORD).is_file():
        return path
    if words[0] in shipped_names("ensembles") or find_folder(words[0], runs, scores=True) is not None:
        return None
    return fusions / words[0] if (fusions / words[0] / RECORD).is_file() else None


def _apply(folder: Path, splits: list[str], given: list[Path], *, force: bool, as_json: bool) -> None:
    """Apply a fusion that was made before to ``splits``, and say what came of it."""
    from tinkit.cli.ensemble_tables import show_applied
    from tinkit.fusion import apply_fusion

    rows = []
    for split in splits:
        applied = apply_fusion(folder, split, given, force=force)
        metrics = applied.metrics.values if applied.metrics else None
        rows.append(
            {
                "split": split,
                "path": str(applied.path),
                "missing_clips": applied.missing,
                "metrics": metrics,
                "written": applied.written,
            }
        )
        if not as_json:
            show_applied(split, applied)
    if as_json:
        print_json(rows)


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
