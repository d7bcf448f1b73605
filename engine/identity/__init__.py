"""Which engine this is: its version, its build and what its arithmetic computes."""
