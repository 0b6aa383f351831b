"""A run's folder: recipe, checkpoints, tables, and the model out of it."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = [
    "checkpoint",
    "checkpoint_writer",
    "load",
    "log",
    "non_finite",
    "resume",
    "run",
    "tables",
    "tensor_file",
    "trained_on",
    "trials",
    "way_back",
    "weights",
    "writers",
]
