"""Records of executions: kept, chained, compared."""
