"""Trainings and tests of recipes, in rooms: see each. Knows nothing of the file formats of data sets."""
