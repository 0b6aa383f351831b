"""A run's folder: one training, with its recipe, checkpoints, events, metrics and scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files import sha256_file
from tinkit.recipe import Recipe, load_recipe, save_recipe

_CHECKPOINTS = ("last", "best")


@dataclass(frozen=True)
class Run:
    """The paths of one run."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.toml"

    @property
    def events(self) -> Path:
        """The folder of TensorBoard events."""
        return self.folder / "events"

    @property
    def metrics_path(self) -> Path:
        """One row an epoch."""
        return self.folder / "metrics.csv"

    @property
    def left_out_path(self) -> Path:
        """The clips that were left out in training, undecodable ones above all: epoch, id, reason."""
        return self.folder / "left_out.csv"

    @property
    def weights_path(self) -> Path:
        """Where the weights came from that training started from, and what became of every key; absent for none."""
        return self.folder / "weights.json"

    def checkpoint(self, which: str) -> Path:
        """The file of checkpoint ``last`` or ``best``; it may not exist yet."""
        if which not in _CHECKPOINTS:
            raise UsageError(f"--weights {which}: no such checkpoint", expected=" or ".join(_CHECKPOINTS))
        return self.folder / "checkpoints" / f"{which}.safetensors"

    def scores_path(self, split: str, views: str, weights: str) -> Path:
        """Where the scores of a split go: ``scores/SPLIT-VIEWS-WEIGHTS.arrow``."""
        return self.folder / "scores" / f"{split}-{views}-{weights}.arrow"

    def trial_path(self, split: str, views: str, weights: str) -> Path:
        """Where the scores of a part of a split go, apart from those that are compared and fused."""
        return self.folder / "scores" / "trials" / f"{split}-{views}-{weights}.arrow"

    def load_recipe(self) -> Recipe:
        """The recipe that this run was made with."""
        return load_recipe(str(self.recipe_path)).recipe

    def recipe_hash(self) -> str:
        """SHA-256 of the resolved recipe's file."""
        return sha256_file(self.recipe_path)


def create_run(name: str, recipe: Recipe, base: Path) -> Run:
    """Make ``base/name`` and write the recipe; refuses a folder that holds a training already."""
    run = Run(base / name)
    if run.checkpoint("last").exists():
        raise UsageError(
            f"the run {run.folder} exists and holds checkpoints",
            fix=f"go on with it: tinkit train --resume {name}; or give the new one another name: --name {name}-2",
        )
    save_recipe(recipe, run.recipe_path)
    run.metrics_path.unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    run.left_out_path.unlink(missing_ok=True)
    run.weights_path.unlink(missing_ok=True)
    return run


def find_run(name: str, base: Path) -> Run:
    """The run called ``name`` below ``base``, or at the path ``name``."""
    for folder in (base / name, Path(name)):
        if (folder / "recipe.toml").is_file():
            return Run(folder)
    known = run_names(base)
    raise UsageError(
        f"no run is called {name!r}{did_you_mean(name, known)}",
        expected=f"a folder with a recipe.toml, or a run in {base}: {', '.join(known) or 'there are none yet'}",
        fix="make one: tinkit train RECIPE",
    )


def find_checkpoint(name: str, weights: str | None, base: Path) -> tuple[Run, str]:
    """A run and which of its checkpoints, ``best`` unless ``weights`` says so.

    ``name`` is a run, or a file in one's ``checkpoints``, which names both.
    """
    path = Path(name)
    if path.suffix != ".safetensors":
        return find_run(name, base), weights or "best"
    run = Run(path.parent.parent)
    if path.parent.name != "checkpoints" and path.resolve().parent.name == "checkpoints":
        run = Run(path.resolve().parent.parent)
    if not run.recipe_path.is_file():
        raise UsageError(f"{name}: not a checkpoint of a run", expected="RUN/checkpoints/best.safetensors, or a run")
    if weights not in (None, path.stem):
        raise UsageError(f"{name} and --weights {weights} name two checkpoints", fix="leave one of them out")
    return run, path.stem


def run_names(base: Path) -> list[str]:
    """The names of the runs in ``base``, sorted."""
    return sorted(path.parent.name for path in base.glob("*/recipe.toml"))


def require_checkpoint(run: Run, which: str) -> Path:
    """The checkpoint's path, or an error that says what there is."""
    path = run.checkpoint(which)
    if path.is_file():
        return path
    there = [name for name in _CHECKPOINTS if run.checkpoint(name).is_file()]
    raise UserError(
        f"the run {run.name} has no checkpoint {which!r}",
        file=path,
        expected=f"one of: {', '.join(there)}" if there else "a run that has finished an epoch",
        fix=f"tinkit train --resume {run.folder}" if not there else None,
    )
