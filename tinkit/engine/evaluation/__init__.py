"""A run over clips: scores, labels, features, and published numbers beside them."""
