"""What this machine offers the engine, and what is in its way."""
