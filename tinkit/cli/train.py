"""`tinkit train`: a recipe becomes a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.common import (
    DataOption,
    GpusOption,
    JsonOption,
    QuietOption,
    RestartsOption,
    RunsOption,
    complete_recipes,
    complete_runs,
    complete_weights,
    examples,
    print_table,
)
from tinkit.errors import UsageError

if TYPE_CHECKING:
    from tinkit.engine.distributed.world import World
    from tinkit.engine.runs.run import Run
    from tinkit.engine.runs.trials import Trial
    from tinkit.engine.runtime.reporter import Reporter
    from tinkit.recipe import Recipe

EPILOG = examples(
    "tinkit train mmit_r50 --data /data/mmit --gpus 8",
    "tinkit train mmit_r50 --dry-run",
    "tinkit train recipes/mmit_r50.toml --set optim.micro_batch=8 --name mmit_r50-a",
    "tinkit train sthv1_tin_r50_tune --tune-from tin_kinetics.pth.tar --replace-head",
    "tinkit train mmit_r50 --set model.pretrained=false --set optim.batch=4 --steps 2",
    "tinkit train demo_tin --data demo/data --seeds 3",
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
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="With --tune-from: which weights of the run, as in `tinkit test`; of a file, best or best-ema.",
            autocompletion=complete_weights,
        ),
    ] = None,
    replace_head: Annotated[
        bool, typer.Option("--replace-head", help="With --tune-from: let a classifier of another size start anew.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run.", autocompletion=complete_runs)
    ] = None,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Go on with the run of that name if it is there, else begin it.")
    ] = False,
    gpus: GpusOption = None,
    max_restarts: RestartsOption = 0,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Train on N seeds, one run each, and compare.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few steps: parameters, memory, time. Nothing is kept.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="A trial: the first N clips of each split only.")] = None,
    overfit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A trial: train and validate on the same N clips.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="A trial: stop after N steps; --resume goes on.")] = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a recipe; validates after every epoch and keeps the last and the best checkpoint.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save and stop after the step under way (exit codes 130, 143, 129 and 75).
    """
    _check_options(recipe, resume, overrides, tune_from, name, seeds, dry_run)
    of_tuning = {"--replace-head": replace_head, "--weights": weights is not None}
    if tune_from is None and (given := [option for option, said in of_tuning.items() if said]):
        raise UsageError(f"{given[0]} is about the weights of --tune-from", fix="name them, or leave it out")
    tuning: dict[str, Any] = {"tune_from": tune_from, "tune_weights": weights, "replace_head": replace_head}
    from tinkit.engine.runs.run import Run
    from tinkit.recipe import load_recipe, rename
    from tinkit.run_folder import find_run

    if resume:
        run = Run(find_run(resume, runs))
        from tinkit.engine.runs.resume import recipe_to_resume

        resolved = recipe_to_resume(run, data, quiet)
    else:
        assert recipe is not None
        resolved = load_recipe(recipe, overrides or [], data).recipe
        resolved = _shrunk(resolved, overfit, renamed=name is not None)
        resolved = resolved if name is None else rename(resolved, name)
        run = Run(runs / resolved.name)
    from tinkit.engine.distributed.launch import launched
    from tinkit.engine.distributed.world import join_world
    from tinkit.engine.runs.trials import Trial
    from tinkit.engine.runtime.reporter import Reporter

    if launched(gpus, max_restarts):
        return
    trial = Trial(limit, overfit, steps)
    with join_world() as world:
        reporter = Reporter(quiet or not world.main)
        if dry_run:
            from tinkit.engine.training.dry_run import dry_run as measure

            row = measure(resolved, reporter, **tuning, trial=trial, runs=runs, world=world)
            if world.main:
                print_table("", [{"of": key, "value": value} for key, value in row.items()], as_json=as_json)
        elif seeds is not None:
            from tinkit.engine.training.seeds import run_series, seeded

            rows = run_series(
                seeded(resolved, seeds),
                lambda one: _train(Run(runs / one.name), one, reporter, world, trial, tuning, again=True),
            )
            if world.main:
                print_table("Newest validation, in percent", rows, as_json=as_json)
        else:
            begun = resume is not None
            _train(run, resolved, reporter, world, trial, tuning, again=auto_resume, resume=begun)


def _check_options(
    recipe: str | None,
    resume: str | None,
    overrides: list[str] | None,
    tune_from: str | None,
    name: str | None,
    seeds: int | None,
    dry_run: bool,
) -> None:
    if (recipe is None) == (resume is None):
        raise UsageError("name a recipe to train, or a run to go on with", expected="RECIPE, or --resume RUN")
    if resume and (overrides or tune_from or name):
        raise UsageError("--resume goes on with the run's own recipe", fix="leave out --set, --tune-from and --name")
    if (resume or dry_run) and seeds is not None:
        raise UsageError("--seeds begins or goes on with its runs by itself", fix="leave out --resume and --dry-run")


def _train(
    run: Run,
    recipe: Recipe,
    reporter: Reporter,
    world: World,
    trial: Trial,
    tuning: dict[str, Any],
    *,
    again: bool,
    resume: bool = False,
) -> Run:
    """Train into ``run``; with ``again`` go on with it where it is there."""
    from tinkit.engine.training.start import start_training

    start_training(
        run, recipe, reporter, resume=resume, again=again, **tuning, trial=trial, runs=run.folder.parent, world=world
    )
    return run


def _shrunk(recipe: Recipe, overfit: int | None, *, renamed: bool) -> Recipe:
    """``recipe`` with a batch that so few clips can fill, and a name that says what it is."""
    if overfit is None:
        return recipe
    from tinkit.recipe import change

    batch = min(recipe.optim.batch, overfit)
    shrunk = {"optim.batch": batch, "optim.micro_batch": None} if batch < recipe.optim.batch else {}
    return change(recipe, {**shrunk, "name": recipe.name if renamed else f"{recipe.name}-overfit"})
