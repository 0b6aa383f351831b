"""One training, from opened data to the last epoch."""
