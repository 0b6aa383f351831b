"""One's own videos: found in folders or a csv, split, and written as a data set of the layout ``table``."""
