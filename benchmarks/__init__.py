"""Measured claims, each a command: ``python -m benchmarks NAME``. Every figure names the machine and kernel path."""
