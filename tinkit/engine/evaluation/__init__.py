"""A run over clips: scores, labels, features, and published numbers beside them."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["activation", "compare", "features", "predict", "protocol", "published", "score", "test"]
