"""The operators: ``interlace`` moves a part of the channels through time by learned, real-valued offsets."""

from tinkit.ops.interlace import interlace
from tinkit.ops.reference import interlace_reference

__all__ = ["interlace", "interlace_reference"]
