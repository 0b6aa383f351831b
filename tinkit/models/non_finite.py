"""Whether weights are finite: a network with non-finite ones computes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tinkit.errors import UserError


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Raise :class:`~tinkit.errors.UserError`, which names the entries, if a weight is NaN or infinite."""
    wrong = [name for name, value in state.items() if not is_finite(value)]
    if wrong:
        some = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        raise UserError(
            f"holds non-finite values in {len(wrong)} of {len(state)} entries ({some})",
            expected="weights that a network can be run with",
            fix="take another checkpoint: of a run, an earlier one by --weights step=N",
        )


def is_finite(value: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity. A view that repeats values is read once."""
    if not (value.is_floating_point() or value.is_complex()) or not value.numel():
        return True
    once = value[tuple(slice(0, 1) if step == 0 else slice(None) for step in value.stride())]
    if once.dtype.itemsize == 1:  # 8-bit floats have no isfinite
        once = once.float()
    # a sum is finite only if all are, and takes a fifth of the time; that of large numbers may overflow by itself
    wide = torch.promote_types(once.dtype, torch.float32)
    return bool(torch.isfinite(once.sum(dtype=wide))) or bool(torch.isfinite(once).all())
