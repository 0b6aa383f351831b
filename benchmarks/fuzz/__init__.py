"""Mutated real files, read in a child with limits: no crash, no hang, no growth, nothing read outside of the root."""
