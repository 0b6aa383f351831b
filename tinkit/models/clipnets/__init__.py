"""Networks that look at space and time at once: SlowFast, R3D, R(2+1)D and MC3."""

from tinkit.models.clipnets.video3d import Video3D

__all__ = ["Video3D"]
