"""Pickles of unknown origin: followed without doing what they say, arrays and tensors as NumPy's. No torch."""
