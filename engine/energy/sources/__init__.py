"""What joules are read from, one module a source."""
