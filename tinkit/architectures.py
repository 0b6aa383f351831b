"""The words that recipes and constructors of networks share, and the names of 3D networks. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ShiftPlace = Literal["blockres", "blockres_every", "blockres_double", "block"]
"""Where a ResNet's features are shifted: :mod:`tinkit.models.temporal.shift`."""
Offsets = Literal["clip", "once", "fixed"]
"""What the offsets of TIN depend on: :mod:`tinkit.models.temporal.interlace`."""
NonLocalKind = Literal["embedded_gaussian", "gaussian", "dot_product"]
"""What a non-local block compares positions by: :mod:`tinkit.models.temporal.non_local`."""
ConsensusKind = Literal["avg", "identity", "trn", "trn_multiscale"]
"""How frames become a clip: :mod:`tinkit.models.consensus`."""
Variant3D = Literal["x_temporal", "mmaction2", "pyslowfast", "torchvision"]
"""The code base whose choices a 3D network follows: :mod:`tinkit.models.clipnets`."""

VARIANTS_OF: Mapping[str, tuple[Variant3D, ...]] = MappingProxyType(
    {
        "slowfast": ("x_temporal", "mmaction2", "pyslowfast"),
        "r3d": ("x_temporal", "torchvision"),
        "r2plus1d": ("x_temporal", "torchvision"),
        "mc3": ("torchvision",),
    }
)
"""Whose choices a family of 3D networks can follow; the first is the default."""

BLOCKS: Mapping[int, tuple[int, int, int, int]] = MappingProxyType(
    {
        10: (1, 1, 1, 1),
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
    }
)
"""Blocks in each of a residual network's four stages, by depth; X-Temporal's are the shallowest and the deepest."""

_DEPTHS = {"slowfast": tuple(depth for depth in BLOCKS if depth >= 50), "mc3": (18,)}
ARCHS = tuple(f"{family}_{depth}" for family in VARIANTS_OF for depth in _DEPTHS.get(family, tuple(BLOCKS)))
"""The names of all 3D networks, a family and its depth: ``slowfast_50``."""
