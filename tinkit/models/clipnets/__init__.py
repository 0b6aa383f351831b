"""Networks that look at space and time at once: SlowFast, R3D, R(2+1)D and MC3."""
