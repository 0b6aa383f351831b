"""One training, from opened data to the last epoch."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["dry_run", "seeds", "start"]
