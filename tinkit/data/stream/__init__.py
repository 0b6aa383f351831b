"""Frames of a stream as they come, from a file, a camera or a pipe, and the clock whose ticks show them."""
