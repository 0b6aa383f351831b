"""`tinkit test`: a run's checkpoint over a split, into a score file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tinkit.cli.common import (
    DataOption,
    JsonOption,
    QuietOption,
    RunsOption,
    complete_runs,
    examples,
    print_table,
)
from tinkit.errors import Interrupted

_SHOWN = 10  # undecodable clips that are printed

EPILOG = examples(
    "tinkit test mmit_r50",
    "tinkit test mmit_r50 --split test --views 10x3 --scale 256 --crop 256",
    "tinkit test runs/mmit_r50 --weights last --data /data/mmit --json",
)


def test(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CHECKPOINT", help="A run, or a file in its checkpoints.", autocompletion=complete_runs
        ),
    ],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    views: Annotated[str | None, typer.Option(metavar="KxS", help="K temporal by S (1 or 3) spatial views.")] = None,
    scale: Annotated[int | None, typer.Option(min=1, help="The short side, in pixels, before the crop.")] = None,
    crop: Annotated[int | None, typer.Option(min=1, help="The crop's side in pixels.")] = None,
    average: Annotated[str | None, typer.Option(help="What is averaged over views: logits or probabilities.")] = None,
    weights: Annotated[str | None, typer.Option(help="The checkpoint: best (unless said) or last.")] = None,
    data: DataOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="A trial: the first N clips only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make the score file again.")] = False,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a split with a run's model; prints the metrics where the split has labels.

    The scores go to RUN/scores/SPLIT-VIEWS-WEIGHTS.arrow. An interrupted test goes on where it was.
    """
    from tinkit.data.views import override_views
    from tinkit.engine.log import Reporter
    from tinkit.engine.run import find_checkpoint
    from tinkit.engine.test import run_test

    reporter = Reporter(quiet)
    found, checkpoint = find_checkpoint(run, weights, runs)
    recipe = found.load_recipe()
    config = override_views(recipe.test, views=views, scale=scale, crop=crop, average=average)
    source = recipe.data if data is None else recipe.data.model_copy(update={"root": data})
    try:
        result = run_test(found, split, config, checkpoint, reporter, data=source, limit=limit, force=force)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was scored is kept", fix="the same command goes on") from None
    for clip, reason in list(result.reasons.items())[:_SHOWN]:
        reporter.say(f"null scores, cannot be decoded: {clip}: {reason}")
    if len(result.reasons) > _SHOWN:
        reporter.say(f"{len(result.reasons) - _SHOWN} more clips have null scores in {result.path}")
    row: dict[str, Any] = {"run": found.name, "split": split, "views": config.views, "weights": checkpoint}
    row |= {"clips": result.clips, "broken": result.broken}
    if result.metrics is not None:
        row |= {name: 100 * value for name, value in result.metrics.values.items()}
    row["scores"] = str(result.path)
    print_table("", [row], as_json=as_json)
