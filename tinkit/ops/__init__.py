"""The operators: ``interlace`` moves a part of the channels through time by learned, real-valued offsets."""

from tinkit.ops import flops
from tinkit.ops.conv import interlaced_conv
from tinkit.ops.fold import fold_mean, interlace_fold
from tinkit.ops.interlace import interlace
from tinkit.ops.reference import interlace_reference
from tinkit.ops.steer import Steering, steer
from tinkit.ops.steered import steered_conv

__all__ = [
    "Steering",
    "fold_mean",
    "interlace",
    "interlace_fold",
    "interlace_reference",
    "interlaced_conv",
    "steer",
    "steered_conv",
]

flops.register()
