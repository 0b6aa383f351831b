"""Faults that tinkit must survive, a module a kind; `make proof-faults` runs them all."""
