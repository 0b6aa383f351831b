"""Synthetic challenges: motions of handwritten digits, in the official layouts, with real video files."""

from tinkit.data.synth.build import SynthResult, answers_path, synthesise
from tinkit.data.synth.clips import SynthSpec
from tinkit.data.synth.official import order_classes_path

__all__ = ["SynthResult", "SynthSpec", "answers_path", "order_classes_path", "synthesise"]
