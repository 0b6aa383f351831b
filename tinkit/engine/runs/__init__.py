"""A run's folder: recipe, checkpoints, tables, and the model out of it."""
