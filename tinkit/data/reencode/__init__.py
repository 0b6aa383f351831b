"""Videos encoded anew: small, with a keyframe every few frames, so that a frame in the middle is near one."""
