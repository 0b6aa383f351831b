"""What a number of a file that any program may have written must be."""

from __future__ import annotations

import math
from typing import TypeGuard


def is_positive(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
