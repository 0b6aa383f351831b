"""From a plan to bytes: names and labels as they stand in a file, numbers as text, lines, documents, archives."""
