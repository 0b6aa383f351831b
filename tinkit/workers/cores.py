"""How many processes or threads this machine runs at a time for this process."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """The cores that this process may use: those that it is bound to, or the share that its control group has of them.

    PyTorch knows the former only, and with more threads than the share each waits for the others to be let run.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _quota()
    return bound if share is None else max(1, min(bound, math.ceil(share)))


def _quota(root: Path = _CGROUPS) -> float | None:
    """The cores' worth of time that the control group is given; None where it has no limit, or the limit is unknown."""
    with suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
