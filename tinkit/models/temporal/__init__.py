"""Temporal modules of 2D networks, and how they are put into a backbone.

A 2D backbone sees ``B`` clips of ``T`` frames as ``B*T`` images, clip-major: row ``b*T + t`` is frame ``t`` of clip
``b``. A temporal module takes and gives features of that many rows, in the layout that it was made for, and moves them
between the frames of a clip. :data:`tinkit.temporal.TEMPORAL_MODULES` is the table of them.
"""

from tinkit.models.temporal.interlace import TemporalInterlace, record_steering
from tinkit.models.temporal.non_local import NonLocal, add_non_local
from tinkit.models.temporal.placed import ModuleSettings, TemporalConv2d, precede
from tinkit.models.temporal.pool import TemporalPool, add_temporal_pool
from tinkit.models.temporal.put import put_modules
from tinkit.models.temporal.shift import TemporalShift

__all__ = [
    "ModuleSettings",
    "NonLocal",
    "TemporalConv2d",
    "TemporalInterlace",
    "TemporalPool",
    "TemporalShift",
    "add_non_local",
    "add_temporal_pool",
    "precede",
    "put_modules",
    "record_steering",
]
