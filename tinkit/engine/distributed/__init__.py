"""The processes of one command: started, joined, watched and stopped."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["environment", "launch", "shared_memory", "signals", "stall", "world"]
