"""`tinkit test`: a run's checkpoint over a split, into a score file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import (
    ClassOrderOption,
    CropOption,
    DataOption,
    ForceOption,
    GpusOption,
    JsonOption,
    LimitOption,
    QuietOption,
    RecipeOption,
    RunsOption,
    SegmentsOption,
    SetOption,
    ViewsOption,
    WeightsOption,
    complete_runs,
)
from tinkit.cli.parser import examples
from tinkit.cli.session import session, stoppable
from tinkit.errors import UsageError
from tinkit.terminal import percents, print_table

if TYPE_CHECKING:
    from tinkit.engine.evaluation.test import TestResult
    from tinkit.engine.runtime.reporter import Reporter

_SHOWN = 10  # undecodable clips that are printed

EPILOG = examples(
    "tinkit test mmit_r50",
    "tinkit test mmit_r50 --split test --views 10x3 --scale 256 --crop 256",
    "tinkit test runs/mmit_r50 --weights last --data /data/mmit --json",
    "tinkit test mmit_r50 --as-published --gpus 8",
    "tinkit test tsm_sthv2.pth.tar --recipe sthv2_tsm_r50 --data /data/sthv2",
    "tinkit test tin_sthv1.pth.tar --recipe sthv1_tin_r50 --class-order alphabetical",
)


def test(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT",
            help="A run, a file in its checkpoints, or with --recipe any known code base's checkpoint.",
            autocompletion=complete_runs,
        ),
    ],
    *,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="The name of the run that --recipe imports a checkpoint as."),
    ] = None,
    class_order: ClassOrderOption = None,
    split: Annotated[str | None, typer.Option(help="train, val (the default) or test.")] = None,
    views: ViewsOption = None,
    sampling: Annotated[
        str | None, typer.Option(help="The temporal rule: even, centre, random, twice or dense.")
    ] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Frames from one to the next in dense sampling.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames of a view a second, in dense sampling; in place of --stride.")
    ] = None,
    segments: SegmentsOption = None,
    scale: Annotated[int | None, typer.Option(min=1, help="The short side, in pixels, before the crop.")] = None,
    crop: CropOption = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Test the mirror image of every view too.")
    ] = None,
    average: Annotated[str | None, typer.Option(help="What is averaged over views: logits or probabilities.")] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Test as each published number of the recipe was.")
    ] = False,
    keep_views: Annotated[
        bool, typer.Option("--keep-views", help="Write the scores of every single view too.")
    ] = False,
    weights: WeightsOption = None,
    data: DataOption = None,
    gpus: GpusOption = None,
    limit: LimitOption = None,
    force: ForceOption = False,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a split with a run's model; prints the metrics where the split has labels.

    The scores go to RUN/scores/SPLIT-VIEWS-WEIGHTS.arrow, with --keep-views also to RUN/scores/views. The same command
    resumes an interrupted test. A checkpoint with --recipe is imported as a run, RECIPE-CHECKPOINT unless --name says
    otherwise.
    """
    from tinkit.data.config.views import override_views
    from tinkit.engine.exchange.imported import named_run

    protocol: dict[str, str | float | None] = {"views": views, "sampling": sampling, "stride": stride, "fps": fps}
    protocol |= {"flip": flip, "scale": scale, "crop": crop, "average": average, "num_segments": segments}
    if as_published and (given := [name for name, value in {"split": split, **protocol}.items() if value is not None]):
        raise UsageError(
            f"--as-published takes split and protocol from the recipe, and {', '.join(given)} of the command line",
            fix="leave one of them out",
        )
    from_recipe = {"--set": overrides, "--name": name, "--class-order": class_order}
    if recipe is None and (given := [option for option, value in from_recipe.items() if value]):
        raise UsageError(f"{given[0]} is for a checkpoint that belongs to no run", fix="add --recipe RECIPE")
    found, word, resolved = named_run(run, weights, runs, recipe, overrides or [], name)
    config = override_views(resolved.test, **protocol)
    source = None if data is None else resolved.data.model_copy(update={"root": data})
    with session(gpus=gpus, quiet=quiet, runs=runs) as ours, stoppable(ours, "what was scored is kept"):
        from tinkit.engine.evaluation.published import run_published
        from tinkit.engine.evaluation.test import TestRequest, run_test
        from tinkit.engine.exchange.imported import import_checkpoint

        request = TestRequest(source, limit, force, keep_views)
        if recipe is not None:
            origin = (Path(run), resolved, source or resolved.data, split or "val", found, ours.reporter)
            ours.world.first(lambda: import_checkpoint(*origin, order=class_order, weights=weights))
        if as_published:
            rows, title = run_published(found, word, ours, request), "Measured beside published, in percent"
        else:
            result = run_test(found, split or "val", config, word, ours, request)
            rows, title = [_row(found.name, result)], ""
            _say_broken(result, ours.reporter)
        if ours.world.main:
            print_table(title, rows, as_json=as_json)


def _row(name: str, result: TestResult) -> dict[str, Any]:
    info = result.info
    row: dict[str, Any] = {"run": name, "split": info.split, "views": info.views, "weights": info.weights}
    row |= {"clips": result.clips, "broken": result.broken} | ({"trial": "yes"} if info.trial else {})
    row["clips/s"] = None if result.speed is None else result.speed.clips_per_s
    if result.metrics is not None:
        row |= percents(result.metrics.values)
    return row | {"scores": str(result.path)}


def _say_broken(result: TestResult, reporter: Reporter) -> None:
    if result.info.trial:
        reporter.say(f"a trial: {result.path} is of a part of the clips, or of a run that was trained on a part only")
    for clip, reason in list(result.reasons.items())[:_SHOWN]:
        reporter.say(f"null scores: {clip}: {reason}")
    if len(result.reasons) > _SHOWN:
        reporter.say(f"{len(result.reasons) - _SHOWN} more clips have null scores in {result.path}")
