"""The learning rate as a function of the step, and when a plateau lowers it. No state: nothing here needs saving."""

from __future__ import annotations

import math

import torch

from tinkit.recipe.training import OptimConfig, ScheduleConfig


class LearningRate:
    """The rate of every group: ``optim.lr`` times the group's ``lr_scale`` times :meth:`multiple` of the step.

    ``optim.lr`` itself is reached at the end of the warm-up. All formulas count epochs as ``e = step /
    steps_per_epoch``, a fraction: the rate moves with every step, not with every epoch.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, optim: OptimConfig, schedule: ScheduleConfig, steps_per_epoch: int
    ) -> None:
        self._optimizer = optimizer
        self._lr, self._epochs = optim.lr, optim.epochs
        self._schedule = schedule
        self._steps_per_epoch = steps_per_epoch

    def multiple(self, step: int, drops: int = 0) -> float:
        """What ``optim.lr`` is multiplied by at ``step`` (from 0).

        During the warm-up, with ``w`` the epochs of it and ``s`` its start: linear ``s + (1 - s) * e / w``, exponential
        ``s ** (1 - e / w)``. After it: ``cosine`` as in ``_cosine``; ``step`` is ``factor`` to the power of the
        milestones passed; ``plateau`` is ``factor`` to the power of ``drops``, which :func:`plateau` counts.
        """
        schedule, e = self._schedule, step / self._steps_per_epoch
        if e < schedule.warmup_epochs:
            done, start = e / schedule.warmup_epochs, schedule.warmup_start
            return start + (1 - start) * done if schedule.warmup == "linear" else start ** (1 - done)
        if schedule.kind == "cosine":
            return self._cosine(e)
        if schedule.kind == "step":
            drops = sum(step >= milestone * self._steps_per_epoch for milestone in schedule.milestones)
        return schedule.factor**drops

    def set(self, step: int, drops: int = 0) -> None:
        """Give every group its rate for ``step`` (from 0)."""
        rate = self._lr * self.multiple(step, drops)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]

    def _cosine(self, e: float) -> float:
        """The multiple after the warm-up of ``w`` epochs.

        Without ``t_max``, TIN's: ``(1 + cos(pi * (e - w) / (epochs - w))) / 2``. With it, X-Temporal's, whose cosine
        counts from the start of training and is scaled to meet the warm-up's end: ``(1 + cos(pi * e / t_max)) / (1 +
        cos(pi * w / t_max))``. Past ``t_max`` the rate rises again, unscaled: ``(1 + cos(pi * e / t_max)) / 2``.
        """
        warm, t_max = self._schedule.warmup_epochs, self._schedule.t_max
        if t_max is None:
            return (1 + math.cos(math.pi * (e - warm) / (self._epochs - warm))) / 2
        height = 1 + math.cos(math.pi * warm / t_max) if e <= t_max else 2.0
        return (1 + math.cos(math.pi * e / t_max)) / height


def plateau(best: float | None, bad: int, drops: int, value: float, patience: int) -> tuple[float | None, int, int]:
    """One validation of a plateau schedule: ``(best, bad, drops)`` before it to those after it.

    ``best`` is the highest metric so far (None: none yet), ``bad`` the validations in a row since that were no better,
    ``drops`` how often the rate has been lowered, ``value`` this validation's metric. More than ``patience`` bad ones
    lower the rate once more and start the count again. NaN is never better.
    """
    if not math.isnan(value) and (best is None or value > best):
        return value, 0, drops
    return (best, 0, drops + 1) if bad >= patience else (best, bad + 1, drops)
