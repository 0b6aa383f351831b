"""Clips and batches of them as the model sees them, for training and for testing."""
