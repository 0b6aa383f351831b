"""Work given to an executor: processes of this machine, a dask cluster, or shares of it to machines by hand."""

PATIENCE = 300.0
"""Seconds that a dask cluster may be without a worker, unless said otherwise."""
