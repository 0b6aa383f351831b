"""Benchmarks, studies and proofs: run one with ``python -m benchmarks.NAME``."""
