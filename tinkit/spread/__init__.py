"""Work given to an executor: processes of this machine, a dask cluster, or shares of it to machines by hand."""
