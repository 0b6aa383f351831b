"""Numbers as text, a block at a time: as many digits as the rules say, rounded as Python rounds them.

Arrow turns a float into the shortest text that reads back as the same float. So numbers are first rounded, to floats
whose shortest text has the digits wanted; what that arithmetic cannot decide is left to Python, number by number.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tinkit.scores.kinds import Values

_EXACT = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}  # digits from which the shortest text is not shortened
_POWERS = np.array([float(f"1e{power}") for power in range(23)])  # all that a float64 holds exactly
_WHOLE = 2.0**53


def number_texts(values: Values, precision: int, decimals: int | None) -> pa.StringArray:
    """The texts of ``values``, whatever their shape, in one flat array.

    ``precision`` significant digits at most, or ``decimals`` behind the point where that is not None.
    """
    flat = cast(Values, np.ascontiguousarray(values).reshape(-1))
    if decimals is not None:
        return _fixed(flat.astype(np.float64), decimals)
    texts = pc.cast(pa.array(rounded(flat, precision)), pa.string())
    assert isinstance(texts, pa.StringArray)
    return texts


def joined(texts: pa.StringArray, counts: NDArray[np.int64], separator: str) -> pa.StringArray:
    """``texts``, of which each row has ``counts`` (n,), as one text a row."""
    ends = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(ends, texts), separator)


def rounded(values: Values, precision: int) -> Values:
    """``values``, finite or infinite, rounded to ``precision`` significant digits as ``%.{precision}g`` rounds."""
    if precision >= _EXACT[values.dtype]:
        return values
    exact = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.abs(exact)))
    plain = np.isfinite(size)  # neither 0 nor infinite
    shift = np.where(plain, precision - 1 - size, 0).astype(np.int64)
    power = _POWERS[np.minimum(np.abs(shift), 22)]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.where(shift >= 0, exact * power, exact / power)
        whole = np.rint(scaled)
        result = np.where(shift >= 0, whole / power, whole * power)
    result = np.where(plain, result, exact)
    # Beyond 10**22 a power is not exact; 9.9996 may be of another size once rounded; near a half, scaling decides.
    unsure = plain & ((np.abs(shift) > 22) | (np.abs(whole) >= 10.0**precision) | _near_half(scaled))
    for at in np.argwhere(unsure):
        result[tuple(at)] = float(f"{exact[tuple(at)]:.{precision}g}")
    return result


def picked(values: Values, classes: NDArray[np.int64]) -> Values:
    """Of each row of ``values`` (n, C) the ``classes`` (n, k)."""
    return cast(Values, np.take_along_axis(values, classes, axis=1))


def differing(values: NDArray[Any]) -> NDArray[np.int64]:
    """How many different numbers each row of ``values`` (n, C) holds, (n,)."""
    ranked = np.sort(values, axis=1)
    return 1 + np.count_nonzero(ranked[:, 1:] != ranked[:, :-1], axis=1)


def as_written(values: Values, precision: int, decimals: int | None) -> Values:
    """``values`` with those equal that have one text."""
    if decimals is None:
        return rounded(values, precision)
    exact = values.astype(np.float64)
    scaled = exact * 10.0**decimals
    whole = np.rint(scaled)
    for at in np.argwhere(_near_half(scaled)):
        whole[tuple(at)] = np.rint(float(f"{exact[tuple(at)]:.{decimals}f}") * 10.0**decimals)
    return whole


def _near_half(scaled: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the rounding of a product decides how a number is rounded to a whole one."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5)
        return np.isfinite(scaled) & (distance <= np.abs(scaled) * 2.0**-51)


def _fixed(values: NDArray[np.float64], decimals: int) -> pa.StringArray:
    scaled = values * 10.0**decimals
    unsure = ~(np.abs(scaled) < _WHOLE) | _near_half(scaled)
    whole = np.rint(np.where(unsure, 0, scaled)).astype(np.int64)
    sign = np.where(np.signbit(values), "-", "")
    head, tail = np.divmod(np.abs(whole), 10**decimals)
    texts = pc.binary_join_element_wise(pa.array(sign), pc.cast(pa.array(head), pa.string()), "")
    if decimals:
        # A 1 in front keeps the zeros behind the point.
        digits = pc.utf8_slice_codeunits(pc.cast(pa.array(tail + 10**decimals), pa.string()), 1)
        texts = pc.binary_join_element_wise(texts, digits, ".")
    if unsure.any():
        patched = texts.to_pylist()
        for at in np.flatnonzero(unsure).tolist():
            patched[at] = f"{values[at]:.{decimals}f}"
        texts = pa.array(patched)
    return texts
