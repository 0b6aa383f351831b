"""The ways to fuse: pure functions on arrays, a file each; :mod:`tinkit.fusion.methods` is their table."""
