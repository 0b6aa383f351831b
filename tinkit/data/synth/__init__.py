"""Synthetic challenges: motions of handwritten digits, in the official layouts, with real video files."""

from tinkit.data.synth.actions import (
    ACTIONS,
    ORDER_CLASSES,
    PARTNER,
    Action,
    class_names,
    order_class_names,
    reversed_labels,
)
from tinkit.data.synth.build import SynthResult, answers_path, synthesise
from tinkit.data.synth.clips import SynthClip, SynthSpec, draw_clip
from tinkit.data.synth.official import order_classes_path
from tinkit.data.synth.render import digit_images, digit_targets, render
from tinkit.data.synth.scenes import Scene, clip_rng, digit_pools, draw_scene, reversed_scene

__all__ = [
    "ACTIONS",
    "ORDER_CLASSES",
    "PARTNER",
    "Action",
    "Scene",
    "SynthClip",
    "SynthResult",
    "SynthSpec",
    "answers_path",
    "class_names",
    "clip_rng",
    "digit_images",
    "digit_pools",
    "digit_targets",
    "draw_clip",
    "draw_scene",
    "order_class_names",
    "order_classes_path",
    "render",
    "reversed_labels",
    "reversed_scene",
    "synthesise",
]
