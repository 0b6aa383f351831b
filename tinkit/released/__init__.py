"""Released checkpoints: a table of them, each fetched, verified, and recorded with where it came from. No torch."""
