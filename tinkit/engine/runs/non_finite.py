"""Numbers that are not finite: what holds them is named, and so is the checkpoint to go back to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinkit.engine.runs.checkpoint import read_checkpoint
from tinkit.engine.runs.run import Run, load_run_weights
from tinkit.errors import UserError
from tinkit.models.non_finite import is_finite

_NAMED = 3  # tensors that a message names


class NotFiniteError(UserError):
    """Scores, features or weights hold NaN or infinity, so that nothing made of them would mean anything."""


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or an infinity; one pass over memory where there is none."""
    return [name for name, tensor in tensors.items() if not is_finite(tensor)]


def some_of(names: Iterable[str]) -> str:
    """The first of ``names``, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def require_finite(tensors: Mapping[str, Tensor], what: str, file: Path | None = None, fix: str | None = None) -> None:
    """Raise :class:`NotFiniteError` if a tensor of ``what`` is not finite."""
    if bad := not_finite(tensors):
        raise NotFiniteError(f"{what} hold numbers that are not finite: {some_of(bad)}", file=file, fix=fix)


def require_good(tensors: Mapping[str, Tensor], what: str, run: Run) -> None:
    """Raise, with the way back, where a training has come to tensors that are not finite."""
    try:
        require_finite(tensors, what)
    except NotFiniteError as error:
        problem = f"{error.problem}; they were not saved"
        raise NotFiniteError(problem, file=run.folder, fix=way_back(run)) from None


def require_finite_values(
    values: NDArray[np.float32], broken: Iterable[int], name: Callable[[int], str], what: str
) -> None:
    """Raise :class:`NotFiniteError` that names the first clip whose ``values`` (N, W) are not finite.

    ``name`` tells the clip of a row; the rows ``broken`` have no values and are passed over.
    """
    bad = np.atleast_1d(~np.isfinite(values).all(axis=1))
    bad[list(broken)] = False
    if bad.any():
        row = int(bad.argmax())
        value = values[row][~np.isfinite(values[row])][0]
        raise NotFiniteError(f"the {what} of {name(row)} are not finite ({value})")


def told_of_run(error: NotFiniteError, run: Run, weights: str) -> NotFiniteError:
    """``error`` of what a run's ``weights`` gave, with why it is so and which of its checkpoints are good."""
    state, path, _ = load_run_weights(run, weights)
    if bad := not_finite(state):
        return NotFiniteError(
            f"{error.problem}; nor are its weights, in {some_of(bad)}", file=path, fix=way_back(run, path)
        )
    good = next(iter(finite_words(run, path)), None)
    return NotFiniteError(
        f"{error.problem}; its weights are finite, but lead to numbers too large for their type",
        file=path,
        fix=f"take an earlier checkpoint: --weights {good}" if good else "train again, with a lower optim.lr",
    )


def way_back(run: Run, but: Path | None = None) -> str:
    """What to do about a run whose newest weights, in the file ``but``, are of no use."""
    good = next(iter(finite_words(run, but)), None)
    again = "with a lower optim.lr or optim.clip_grad, or train.amp = 'off'"
    if good is None:
        return f"no checkpoint of the run is good: begin again, {again}"
    return (
        f"{good} is the newest good checkpoint: `tinkit train --resume {run.folder}` goes on from it; if it comes to "
        f"the same again, begin a new run {again}: tinkit train RECIPE --tune-from {run.checkpoint(good)}"
    )


def finite_words(run: Run, but: Path | None = None) -> Iterable[str]:
    """The words of the run's checkpoints, ``but`` one file, that are whole and finite: newest first, ``best`` last."""
    for word in (*(f"step={step}" for step in reversed(run.step_paths())), "best"):
        path = run.checkpoint(word)
        same = but is not None and but.is_file() and path.is_file() and path.samefile(but)
        if path.is_file() and not same and why_unusable(path) is None:
            yield word


def why_unusable(path: Path) -> str | None:
    """Why training cannot go on from a checkpoint: it is damaged, or something in it is not finite; None if it can."""
    try:
        tensors, _ = read_checkpoint(path)
    except UserError as error:
        return error.problem.removeprefix("is damaged: ")
    bad = not_finite(tensors)
    return f"it holds numbers that are not finite: {some_of(bad)}" if bad else None
