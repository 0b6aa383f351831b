"""Which frames and which pixels of a clip are taken, and what a mirror image does to its labels."""
