"""Trials on many machines, by Dask: a worker beside each engine."""
