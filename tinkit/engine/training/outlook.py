"""How a training is getting on: the time that the whole run still takes, and a loss that grows."""

from __future__ import annotations

import time
from collections.abc import Sequence

_GROWN = 1.5  # times the least mean loss of an epoch so far: beyond what epochs differ by


class Outlook:
    """The time left, by the pace of this process with all that it does: steps, validations, checkpoints."""

    def __init__(self, done: int, total: int) -> None:
        """``done`` of the run's ``total`` steps are done."""
        self._first, self._total, self._started = done, total, time.monotonic()

    def left(self, done: int) -> str:
        """The time that the rest of the run takes after ``done`` steps, in words; empty while it is unknown."""
        if done <= self._first or done >= self._total:
            return ""
        seconds = (time.monotonic() - self._started) / (done - self._first) * (self._total - done)
        return f"run: {in_words(seconds)} left"


def in_words(seconds: float) -> str:
    """A time for people: ``50 s``, ``12 min``, ``3.5 h`` or ``2.1 days``."""
    for size, unit in ((86400, "days"), (3600, "h")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def growth(losses: Sequence[float]) -> str:
    """What to report of the mean losses of a run's epochs where the newest is by far the highest; else empty."""
    *earlier, newest = losses
    least = min(earlier, default=newest)
    if newest <= _GROWN * least or least <= 0 or newest < max(earlier):
        return ""
    return (
        f"the loss has grown from {least:.4g} (epoch {earlier.index(least) + 1}) to {newest:.4g}: if it does not fall "
        "again, train with a lower optim.lr, a longer schedule.warmup_epochs or a lower optim.clip_grad"
    )
