"""Which checkpoints of a run are good, and the way back to one where the newest weights are non-finite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from tinkit.engine.runs.checkpoint import read_checkpoint
from tinkit.engine.runs.non_finite import NonFiniteError, non_finite_names, require_finite, some_of
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.weights import load_run_weights
from tinkit.errors import UserError


def require_good(tensors: Mapping[str, Tensor], what: str, run: Run) -> None:
    """Raise, with the way back, where tensors of a training are non-finite."""
    try:
        require_finite(tensors, what)
    except NonFiniteError as error:
        problem = f"{error.problem}; they were not saved"
        raise NonFiniteError(problem, file=run.folder, fix=way_back(run)) from None


def told_of_run(error: NonFiniteError, run: Run, weights: str) -> NonFiniteError:
    """``error`` of what a run's ``weights`` gave, with why it is so and which of its checkpoints are good."""
    state, path, _ = load_run_weights(run, weights)
    if bad := non_finite_names(state):
        return NonFiniteError(
            f"{error.problem}; so are its weights, in {some_of(bad)}", file=path, fix=way_back(run, path)
        )
    good = next(iter(finite_words(run, path)), None)
    return NonFiniteError(
        f"{error.problem}; its weights are finite, but lead to numbers too large for their type",
        file=path,
        fix=f"take an earlier checkpoint: --weights {good}" if good else "train again, with a lower optim.lr",
    )


def way_back(run: Run, but: Path | None = None) -> str:
    """What to do about a run whose newest weights, in the file ``but``, are unusable."""
    good = next(iter(finite_words(run, but)), None)
    again = "with a lower optim.lr or optim.clip_grad, or train.amp = 'off'"
    if good is None:
        return f"no checkpoint of the run is good: begin again, {again}"
    return (
        f"{good} is the newest good checkpoint: `tinkit train --resume {run.folder}` resumes from it; if the same "
        f"happens again, begin a new run {again}: tinkit train RECIPE --tune-from {run.checkpoint(good)}"
    )


def finite_words(run: Run, but: Path | None = None) -> Iterable[str]:
    """The words of the run's checkpoints, ``but`` one file, that are whole and finite: newest first, ``best`` last."""
    for word in (*(f"step={step}" for step in reversed(run.step_paths())), "best"):
        path = run.checkpoint(word)
        same = but is not None and but.is_file() and path.is_file() and path.samefile(but)
        if path.is_file() and not same and why_unusable(path) is None:
            yield word


def why_unusable(path: Path) -> str | None:
    """Why a training cannot be resumed from a checkpoint: it is damaged, or holds non-finite values; None if it can."""
    try:
        tensors, _ = read_checkpoint(path)
    except UserError as error:
        return error.problem.removeprefix("is damaged: ")
    bad = non_finite_names(tensors)
    return f"it holds non-finite values: {some_of(bad)}" if bad else None
