"""A module for each command of ``weos-agents``."""
