"""A run's model that watches a stream: labels as frames come, and what is written of them."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["annotated", "watch", "watcher"]
