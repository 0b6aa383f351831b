"""Where a clip's files lie below the data set's folder, what they are called, and why one is missing."""
