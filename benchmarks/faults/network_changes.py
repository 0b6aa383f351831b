"""What people do to networks that tinkit computes in another way than by calling every module."""

from __future__ import annotations

from .network_blocks import BLOCKS
from .network_change import TEMPORAL, Change, at
from .network_hooks import HOOKS
from .network_methods import METHODS
from .network_steering import STEERING

__all__ = ["CHANGES", "STILL", "TEMPORAL", "WITHOUT_SLOPES", "at"]

CHANGES: dict[str, Change] = {**HOOKS, **BLOCKS, **METHODS, **STEERING}
WITHOUT_SLOPES = ("a branch of nothing but its ends", "linear layers quantised")  # in plain PyTorch
STILL = ("an attribute that a block does not use", "a default device", "the tap is copied")
