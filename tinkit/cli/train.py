"""`tinkit train`: a recipe becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.common import DataOption, QuietOption, RunsOption, complete_recipes, complete_runs, examples
from tinkit.errors import UsageError

EPILOG = examples(
    "tinkit train mmit_r50 --data /data/mmit",
    "tinkit train recipes/mmit_r50.toml --set optim.micro_batch=8 --name mmit_r50-a",
    "tinkit train sthv1_tin_r50_tune --tune-from tin_kinetics.pth.tar",
    "tinkit train mmit_r50 --set model.pretrained=false --set optim.batch=4 --steps 2",
    "tinkit train --resume mmit_r50",
)


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A built-in recipe or a .toml file.", autocompletion=complete_recipes)
    ] = None,
    data: DataOption = None,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="The run's name; else the recipe's.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe.")
    ] = None,
    tune_from: Annotated[
        str | None, typer.Option(metavar="RUN|FILE", help="Start from the weights of a run or of any checkpoint.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run.", autocompletion=complete_runs)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="A trial: the first N clips of each split only.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="A trial: stop after N steps; --resume goes on.")] = None,
    runs: RunsOption = Path("runs"),
    quiet: QuietOption = False,
) -> None:
    """Train a recipe; validates after every epoch and keeps the last and the best checkpoint."""
    if (recipe is None) == (resume is None):
        raise UsageError("name a recipe to train, or a run to go on with", expected="RECIPE, or --resume RUN")
    if resume and (overrides or tune_from or name):
        raise UsageError("--resume goes on with the run's own recipe", fix="leave out --set, --tune-from and --name")
    from tinkit.engine.log import Reporter
    from tinkit.engine.run import Run, find_run
    from tinkit.engine.start import start_training
    from tinkit.recipe import load_recipe, rename

    if resume:
        run = find_run(resume, runs)
        resolved = load_recipe(str(run.recipe_path), data_root=data).recipe
    else:
        assert recipe is not None
        resolved = load_recipe(recipe, overrides or [], data).recipe
        resolved = resolved if name is None else rename(resolved, name)
        run = Run(runs / resolved.name)
    reporter = Reporter(quiet)
    start_training(
        run, resolved, reporter, resume=resume is not None, tune_from=tune_from, limit=limit, max_steps=steps, runs=runs
    )
