"""The figures of an execution and of the engine, from timestamps and counters."""
