"""The classifier of clips: a timm backbone, a temporal module in a named place, a consensus and a head."""

from tinkit.models.checkpoints import read_checkpoint
from tinkit.models.foreign import ForeignReport, load_foreign
from tinkit.models.temporal import TemporalConv2d, TemporalInterlace, TemporalShift, record_steering
from tinkit.models.video import VideoClassifier, data_config, freeze_partial_bn

__all__ = [
    "ForeignReport",
    "TemporalConv2d",
    "TemporalInterlace",
    "TemporalShift",
    "VideoClassifier",
    "data_config",
    "freeze_partial_bn",
    "load_foreign",
    "read_checkpoint",
    "record_steering",
]
