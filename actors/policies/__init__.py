"""Scheduling policies: pure functions from frozen metadata and a moment to the executions to admit then."""
