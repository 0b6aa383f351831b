"""`tinkit train`: train a recipe into a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import (
    DataOption,
    GpusOption,
    JsonOption,
    LimitOption,
    QuietOption,
    RecipeArgument,
    ReplaceHeadOption,
    RunsOption,
    SetOption,
    complete_runs,
    complete_weights,
)
from tinkit.cli.parser import examples
from tinkit.cli.session import session
from tinkit.errors import UsageError
from tinkit.terminal import print_table

if TYPE_CHECKING:
    from tinkit.engine.runs.run import Run
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
    recipe: RecipeArgument = None,
    *,
    data: DataOption = None,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="The run's name; else the recipe's.")] = None,
    overrides: SetOption = None,
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
    replace_head: ReplaceHeadOption = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Resume a run.", autocompletion=complete_runs)
    ] = None,
    auto_resume: Annotated[
        bool, typer.Option("--auto-resume", help="Resume the run of that name if it exists, else begin it.")
    ] = False,
    gpus: GpusOption = None,
    max_restarts: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --gpus: restart up to N times when a process fails.")
    ] = 0,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Train on N seeds, one run each, and compare.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few steps: parameters, memory, time. Nothing is kept.")
    ] = False,
    limit: LimitOption = None,
    overfit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A trial: train and validate on the same N clips.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="A trial: stop after N steps; --resume continues.")
    ] = None,
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a recipe; validates after every epoch and keeps the last and the best checkpoint.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 save and stop after the step under way (exit codes 130, 143, 129 and 75).
    """
    _check_options(recipe, resume, {"--set": overrides, "--tune-from": tune_from, "--name": name})
    if (resume or dry_run) and seeds is not None:
        raise UsageError("--seeds begins or resumes its runs by itself", fix="leave out --resume and --dry-run")
    of_tuning = {"--replace-head": replace_head, "--weights": weights is not None}
    if tune_from is None and (given := [option for option, said in of_tuning.items() if said]):
        raise UsageError(f"{given[0]} is about the weights of --tune-from", fix="name them, or leave it out")
    if resume:
        run, resolved = _to_resume(resume, runs, data, quiet=quiet)
    else:
        run, resolved = _to_begin(recipe or "", overrides or [], data, name, overfit, runs)
    with session(gpus=gpus, max_restarts=max_restarts, quiet=quiet, runs=run.folder.parent) as ours:
        from tinkit.engine.runs.run import Run  # all of this by the processes alone, not by the one that starts them
        from tinkit.engine.runs.trials import Trial
        from tinkit.engine.training.dry_run import dry_run as measure
        from tinkit.engine.training.seeds import run_series, seeded
        from tinkit.engine.training.start import TuneFrom, start_training

        trial = Trial(limit, overfit, steps)
        start = None if tune_from is None else TuneFrom(tune_from, weights, replace_head)

        def train_seed(one: Recipe) -> Run:
            of_seed = Run(runs / one.name)
            start_training(of_seed, one, ours, again=True, tune_from=start, trial=trial)
            return of_seed

        rows, title = list[dict[str, Any]](), ""
        if dry_run:
            measured = measure(resolved, ours, tune_from=start, trial=trial)
            rows = [{"of": key, "value": value if as_json else _shown(value)} for key, value in measured.items()]
        elif seeds is not None:
            rows, title = run_series(seeded(resolved, seeds), train_seed), "Newest validation, in percent"
        else:
            start_training(
                run, resolved, ours, resume=resume is not None, again=auto_resume, tune_from=start, trial=trial
            )
        if rows and ours.world.main:
            print_table(title, rows, as_json=as_json)


def _shown(value: Any) -> Any:
    """A small number with two digits that count, where a table's two decimals would show none."""
    return f"{value:.2g}" if isinstance(value, float) and 0 < abs(value) < 0.1 else value


def _to_resume(name: str, runs: Path, data: Path | None, *, quiet: bool) -> tuple[Run, Recipe]:
    from tinkit.engine.runs.resume import recipe_to_resume
    from tinkit.engine.runs.run import Run
    from tinkit.run_folder import find_run

    run = Run(find_run(name, runs))
    return run, recipe_to_resume(run, data, quiet=quiet)


def _to_begin(
    recipe: str, overrides: list[str], data: Path | None, name: str | None, overfit: int | None, runs: Path
) -> tuple[Run, Recipe]:
    from tinkit.engine.runs.run import Run
    from tinkit.recipe import load_recipe, rename

    resolved = _shrunk(load_recipe(recipe, overrides, data).recipe, overfit, renamed=name is not None)
    resolved = resolved if name is None else rename(resolved, name)
    return Run(runs / resolved.name), resolved


def _check_options(recipe: str | None, resume: str | None, of_new: dict[str, object]) -> None:
    """Refuse what does not go together; ``of_new`` are the options that only a new run has a use for."""
    if (recipe is None) == (resume is None):
        raise UsageError("name a recipe to train, or a run to resume", expected="RECIPE, or --resume RUN")
    if resume and any(of_new.values()):
        raise UsageError("--resume continues with the run's own recipe", fix="leave out --set, --tune-from and --name")


def _shrunk(recipe: Recipe, overfit: int | None, *, renamed: bool) -> Recipe:
    """``recipe`` with a batch that ``overfit`` clips can fill, and a name that says so."""
    if overfit is None:
        return recipe
    from tinkit.recipe import change

    batch = min(recipe.optim.batch, overfit * recipe.clip.repeats)
    shrunk = {"optim.batch": batch, "optim.micro_batch": None} if batch < recipe.optim.batch else {}
    return change(recipe, {**shrunk, "name": recipe.name if renamed else f"{recipe.name}-overfit"})
