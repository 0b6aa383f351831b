"""Weights from other programs and for them: pretrained, imported, converted, exported."""
