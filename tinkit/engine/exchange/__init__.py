"""Weights from other programs and for them: pretrained, imported, converted, exported."""

# The files that other rooms use; each is imported by its name, so that nothing is loaded that is not needed.
__all__ = ["convert", "export", "imported", "pretrained"]
