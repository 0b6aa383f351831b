"""One split of a data set as one Arrow table, kept beside the data, and opened again while it is fresh."""
