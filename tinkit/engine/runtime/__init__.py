"""How a recipe's network runs on this machine: built, placed, in its precision."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["build", "capacity", "device", "pixels", "precision", "reporter", "session"]
