"""What networks and their data cost, and what the choices made for this machine give."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["balance", "cost", "loading", "machine", "networks"]
