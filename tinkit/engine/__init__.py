"""Training and testing: one step, one epoch, one run; one test. Knows nothing of data sets' file formats."""
