"""The frame rate at which a stream is watched, unless one is given: that of the model's training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.probe.survey import read_finished
from tinkit.errors import UsageError, UserError
from tinkit.recipe import Recipe


class Rate(NamedTuple):
    """Frames a second, and what they come of, in a few words."""

    fps: float
    why: str


def rate_of_training(recipe: Recipe, stated: float) -> Rate:
    """The frames a second that the model saw in training; ``stated`` is the stream's own rate, 0 where unknown.

    ``clip.fps``; or with dense sampling every ``clip.stride``-th frame of the stream; or else T frames in the median
    length of the training clips, which ``tinkit data prepare`` has found. Raises
    :class:`~tinkit.errors.UsageError` where none of it is known.
    """
    clip = recipe.clip
    if clip.fps is not None:
        return Rate(clip.fps, "clip.fps of the recipe")
    if clip.sampling == "dense":
        if stated > 0:
            return Rate(stated / clip.stride, f"clip.stride = {clip.stride} at the stream's {stated:g} frames a second")
        raise _unknown("the stream does not state its frame rate")
    seconds = _median_seconds(recipe)
    if seconds is None:
        raise _unknown(
            f"the model was trained on {clip.num_segments} frames of whole clips, and how long those are is not known"
        )
    return Rate(clip.num_segments / seconds, f"{clip.num_segments} frames in {seconds:.2g} s, the median training clip")


def _median_seconds(recipe: Recipe) -> float | None:
    """The median length of the training clips that probing found good; None without the data, or unprobed."""
    try:
        probes = read_finished(open_manifest(recipe.data, "train").file)
    except (UserError, OSError):  # the data set need not be on the machine that watches
        return None
    if probes is None:
        return None
    seconds = probes.column("seconds").to_numpy()
    known = seconds[np.isfinite(seconds) & (seconds > 0)]
    return float(np.median(known)) if len(known) else None


def _unknown(problem: str) -> UsageError:
    return UsageError(
        problem,
        expected="--fps N: frames a second that the model is shown, as in its training",
        fix="`tinkit data prepare` finds how long training clips are",
    )
