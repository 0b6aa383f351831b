"""Optical flow: computed from frames, kept in folders of images, read from them."""
