"""A backbone's convolutions with what follows them in one operator each: testing on a CPU."""

from tinkit.models.fused.merge import merged
from tinkit.models.fused.run import fused_features
from tinkit.models.fused.weights import FusedWeights

__all__ = ["FusedWeights", "fused_features", "merged"]
