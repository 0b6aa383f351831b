"""A run's folder: one training, with its recipe, checkpoints, events, metrics and scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.engine.runs.tensor_file import checksum_of, read_tensor_header
from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.hashes import sha256_file
from tinkit.recipe import Recipe, change, load_recipe, save_recipe
from tinkit.run_folder import (
    CHECKPOINTS,
    RECIPE,
    SCORES,
    SUFFIX,
    WORDS,
    find_folder,
    find_run,
    given_name,
    owner_of,
    step_of,
)

_EVERY_WORD = "last, best, ema, best-ema, step=N or mean=K"


@dataclass(frozen=True)
class Run:
    """The paths of one run."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name: the last part of its path as it was given, also where that is a link."""
        return given_name(self.folder)

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.folder / RECIPE

    @property
    def events(self) -> Path:
        """The folder of TensorBoard events."""
        return self.folder / "events"

    @property
    def metrics_path(self) -> Path:
        """One row an epoch."""
        return self.folder / "metrics.csv"

    @property
    def offsets_path(self) -> Path:
        """One row a validation, block and group of a TIN: mean offset (frames), its standard deviation, gain."""
        return self.folder / "offsets.csv"

    @property
    def left_out_path(self) -> Path:
        """The clips that were left out in training, undecodable ones above all: epoch, id, reason."""
        return self.folder / "left_out.csv"

    def non_finite_path(self, step: int) -> Path:
        """The ids of the clips of a step whose loss or gradient was non-finite."""
        return self.folder / f"nonfinite_step_{step}.csv"

    @property
    def weights_path(self) -> Path:
        """Where the weights came from that training started from, and what became of every key; absent for none."""
        return self.folder / "weights.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / CHECKPOINTS

    def checkpoint(self, which: str) -> Path:
        """The file that a word of ``--weights`` means; it may not exist yet.

        ``last`` and ``best``; ``ema`` and ``best-ema``, whose averaged weights are meant (``ema`` is in ``last``);
        ``step=N``; ``mean=K``, the mean of the newest K steps. Raises :class:`~tinkit.errors.UsageError` for others.
        """
        if which in WORDS:
            return self.checkpoints / f"{WORDS[which]}{SUFFIX}"
        kind, _, number = which.partition("=")
        if re.fullmatch(r"0|[1-9][0-9]{0,11}", number):  # one way to write each: score files are named by the word
            if kind == "step":
                return self.step_path(int(number))
            if kind == "mean" and int(number) > 0:
                return self.checkpoints / f"mean={int(number)}{SUFFIX}"
        raise UsageError(
            f"--weights {which}: no such checkpoint{did_you_mean(which, WORDS)}",
            expected=", ".join(self.weights_names()) or _EVERY_WORD,
        )

    def step_path(self, step: int) -> Path:
        """The checkpoint after ``step`` steps of the run."""
        return self.checkpoints / f"step-{step:08d}{SUFFIX}"

    def step_paths(self) -> dict[int, Path]:
        """The files of steps that are there, by step, rising."""
        found = ((step_of(path), path) for path in self.checkpoints.glob(f"step-*{SUFFIX}"))
        return dict(sorted((step, path) for step, path in found if step is not None))

    def weights_names(self) -> list[str]:
        """The words of ``--weights`` that this run has something for."""
        steps = list(self.step_paths())
        return [
            *(name for name in WORDS if self.checkpoint(name).is_file() and (name != "ema" or self._averaged())),
            *(f"step={step}" for step in steps),
            *([f"mean={len(steps)}"] if len(steps) > 1 else []),
        ]

    def _averaged(self) -> bool:
        """Whether ``last`` has averaged weights too."""
        try:
            return bool(read_tensor_header(self.checkpoint("last")).get("ema"))
        except UserError:
            return False

    def scores_path(self, split: str, views: str, weights: str) -> Path:
        """Where the scores of a split go: ``scores/SPLIT-VIEWS-WEIGHTS.arrow``."""
        return self.folder / SCORES / f"{split}-{views}-{weights}.arrow"

    def trial_path(self, split: str, views: str, weights: str) -> Path:
        """Where the scores of a part of a split go, apart from those that are compared and fused."""
        return self.folder / SCORES / "trials" / f"{split}-{views}-{weights}.arrow"

    def load_recipe(self, overrides: Sequence[str] = (), data_root: Path | None = None) -> Recipe:
        """The recipe that this run was made with; the arguments are as in :func:`~tinkit.recipe.load_recipe`.

        One that lacks ``data.turn`` was made when videos were read as they are stored, and still reads them so.
        """
        resolved = load_recipe(str(self.recipe_path), overrides, data_root)
        if resolved.origins["data.turn"].place != "default":
            return resolved.recipe
        return change(resolved.recipe, {"data.turn": False})

    def recipe_hash(self) -> str:
        """SHA-256 of the resolved recipe's file."""
        return sha256_file(self.recipe_path)


def create_run(name: str, recipe: Recipe, base: Path) -> Run:
    """Make ``base/name`` and write the recipe; refuses a folder that holds a training already."""
    run = Run(base / name)
    if run.weights_names():
        raise UsageError(
            f"the run {run.folder} exists and holds checkpoints",
            fix=f"resume it: tinkit train --resume {name}; or give the new one another name: --name {name}-2",
        )
    save_recipe(recipe, run.recipe_path)
    run.metrics_path.unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    run.offsets_path.unlink(missing_ok=True)
    run.left_out_path.unlink(missing_ok=True)
    run.weights_path.unlink(missing_ok=True)
    return run


def find_checkpoint(name: str, weights: str | None, base: Path) -> tuple[Run, str]:
    """A run and which of its weights: what ``weights`` says, else ``best``, or ``last`` where nothing was validated.

    ``name`` is a run, or a file in one's ``checkpoints`` or a link to one, which names both. Raises
    :class:`~tinkit.errors.UsageError` for a file that belongs to no run.
    """
    path = Path(name)
    if find_folder(name, base) is not None or not (path.is_file() or path.suffix == SUFFIX):
        run = Run(find_run(name, base))
        validated = run.checkpoint("best").is_file() or not run.checkpoint("last").is_file()
        return run, weights or ("best" if validated else "last")
    owner = owner_of(path)
    if owner is None:
        raise UsageError(
            f"{name}: not a checkpoint of a run",
            expected="RUN/checkpoints/best.safetensors, or a run",
            fix="for a file outside of a run, name the recipe of its network: tinkit test FILE --recipe RECIPE",
        )
    run, word = Run(owner[0]), owner[1]
    if weights is not None and run.checkpoint(weights) != run.checkpoint(word):
        raise UsageError(f"{name} and --weights {weights} name two checkpoints", fix="leave one of them out")
    if weights is None and word.startswith("mean="):
        _check_newest(run, word)
    return run, weights or word


def _check_newest(run: Run, word: str) -> None:
    """Raise where a mean that was named as a file would be made anew, of newer steps."""
    path, newest = run.checkpoint(word), list(run.step_paths().items())[-int(word.removeprefix("mean=")) :]
    if path.is_file() and read_tensor_header(path)["info"].get("mean_of") != {
        str(step): checksum_of(file) for step, file in newest
    }:
        raise UsageError(
            "is the mean of steps that are no longer the newest",
            file=path,
            fix=f"for the mean of the newest: {run.folder} --weights {word}; for this one, copy it out of the run",
        )
