"""Trials: trainings of less than all clips or steps, and the mark that says so in a run's recipe and checkpoints.

A run that was trained, or validated, on a part of its clips stays a trial for good. One that was stopped after some
steps is one until every step of its recipe is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinkit.data.manifest.manifest import open_manifest
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.tables import put_aside
from tinkit.errors import UserError
from tinkit.recipe import Recipe, change, save_recipe
from tinkit.recipe.training import TrialMark


@dataclass(frozen=True)
class Trial:
    """What makes a training less than a whole one."""

    limit: int | None = None
    """The first so many clips of each split."""
    overfit: int | None = None
    """Train and validate on the same so many clips."""
    max_steps: int | None = None
    """Stop after so many more steps."""

    def options(self) -> str:
        """The options that a resumed run must be given again, with a space before each."""
        given = {"limit": self.limit, "overfit": self.overfit}
        return "".join(f" --{name} {value}" for name, value in given.items() if value is not None)


WHOLE = Trial()


def with_mark(recipe: Recipe, mark: TrialMark | None) -> Recipe:
    """``recipe`` with this mark, or without one."""
    return change(recipe, {"train.trial": mark}) if recipe.train.trial != mark else recipe


def marked(recipe: Recipe, trial: Trial) -> Recipe:
    """``recipe`` with the mark of a trial if it has one, or if ``trial`` leaves something out."""
    if trial.overfit is not None or (trial.limit is not None and _cuts(trial.limit, recipe)):
        return with_mark(recipe, "clips")
    if trial.max_steps is not None and recipe.train.trial is None:
        return with_mark(recipe, "steps")
    return recipe


def marked_like(recipe: Recipe, run: Run) -> Recipe:
    """``recipe`` with the mark that ``run``, which goes on by it, has."""
    return with_mark(recipe, run.load_recipe().train.trial)


def _cuts(limit: int, recipe: Recipe) -> bool:
    return any(len(open_manifest(recipe.data, split)) > limit for split in ("train", "val"))


def after_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """``recipe`` after so many whole epochs: a trial that was one for its steps is none when all are done."""
    done = recipe.train.trial == "steps" and epochs >= recipe.optim.epochs
    return with_mark(recipe, None) if done else recipe


def save_mark(run: Run, recipe: Recipe) -> None:
    """Let the run's own recipe, if there is one, have the mark that ``recipe`` has.

    One that cannot be read is put aside, and becomes ``recipe``.
    """
    if not run.recipe_path.is_file():
        return
    try:
        before = run.load_recipe()
    except UserError:
        put_aside(run.recipe_path)
        save_recipe(recipe, run.recipe_path)
        return
    if before.train.trial != recipe.train.trial:
        save_recipe(with_mark(before, recipe.train.trial), run.recipe_path)


def is_trial(recipe: Recipe, info: Mapping[str, Any]) -> bool:
    """Whether weights are a trial's, by their run's ``recipe`` and the ``info`` of their checkpoint."""
    of_clips = info.get("recipe", {}).get("train", {}).get("trial") == "clips"
    return recipe.train.trial is not None or of_clips
