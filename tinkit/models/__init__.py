"""The classifier of clips: a timm backbone, a temporal module in a named place, a consensus and a head."""

from tinkit.models.classifier import Classifier
from tinkit.models.clipnets.video3d import Video3D
from tinkit.models.foreign.files import read_checkpoint
from tinkit.models.foreign.load import ForeignReport, load_foreign
from tinkit.models.foreign.save import to_foreign
from tinkit.models.temporal.interlace import TemporalInterlace, record_steering
from tinkit.models.temporal.placed import TemporalConv2d
from tinkit.models.temporal.shift import TemporalShift
from tinkit.models.video import VideoClassifier, data_config, freeze_partial_bn

__all__ = [
    "Classifier",
    "ForeignReport",
    "TemporalConv2d",
    "TemporalInterlace",
    "TemporalShift",
    "Video3D",
    "VideoClassifier",
    "data_config",
    "freeze_partial_bn",
    "load_foreign",
    "read_checkpoint",
    "record_steering",
    "to_foreign",
]
