"""What a validation means for a training: which weights are the best so far, and whether the learning rate falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinkit.engine.runs.checkpoint import Progress
from tinkit.engine.training.schedule import plateau
from tinkit.recipe.training import ScheduleConfig


def judge(
    before: Progress, values: Mapping[str, float], metric: str, schedule: ScheduleConfig
) -> tuple[Progress, tuple[str, ...]]:
    """The progress after a validation that measured ``values``, and which of ``best`` and ``best-ema`` it is.

    ``metric`` names the value that ``best`` goes by; that of averaged weights, if there are any, has ``ema_`` before
    its name.
    """
    also = []
    best, best_ema, value = before.best, before.best_ema, values[metric]
    if _better(value, best):
        best = value
        also.append("best")
    average = values.get(f"ema_{metric}")
    if average is not None and _better(average, best_ema):
        best_ema = average
        also.append("best-ema")
    state = (before.plateau_best, before.plateau_bad, before.plateau_drops)
    top, bad, drops = plateau(*state, value, schedule.patience)
    after = replace(
        before, metrics=dict(values), best=best, best_ema=best_ema,
        plateau_best=top, plateau_bad=bad, plateau_drops=drops,
    )  # fmt: skip
    return after, tuple(also)


def _better(value: float, best: float | None) -> bool:
    """A value that is NaN (nothing could be measured) is never the best."""
    return value == value and (best is None or value > best)
