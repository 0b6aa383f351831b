"""Non-finite values (NaN, infinity) in weights, scores and features: found, and what holds them is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinkit.errors import UserError
from tinkit.models.non_finite import is_finite

_NAMED = 3  # tensors that a message names


class NonFiniteError(UserError):
    """Scores, features or weights hold NaN or infinity, so that nothing made of them would mean anything."""


def non_finite_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or an infinity; one pass over memory if all are finite."""
    return [name for name, tensor in tensors.items() if not is_finite(tensor)]


def some_of(names: Iterable[str]) -> str:
    """The first of ``names``, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def require_finite(tensors: Mapping[str, Tensor], what: str, file: Path | None = None, fix: str | None = None) -> None:
    """Raise :class:`NonFiniteError` if a tensor of ``what`` holds a non-finite value."""
    if bad := non_finite_names(tensors):
        raise NonFiniteError(f"{what} hold non-finite values: {some_of(bad)}", file=file, fix=fix)


def require_finite_values(
    values: NDArray[np.float32], broken: Iterable[int], name: Callable[[int], str], what: str
) -> None:
    """Raise :class:`NonFiniteError` that names the first clip whose ``values`` (N, W) are non-finite.

    ``name`` gives the clip of a row; the rows ``broken`` have no values and are skipped.
    """
    bad = np.atleast_1d(~np.isfinite(values).all(axis=1))
    bad[list(broken)] = False
    if bad.any():
        row = int(bad.argmax())
        value = values[row][~np.isfinite(values[row])][0]
        raise NonFiniteError(f"the {what} of {name(row)} are non-finite ({value})")
