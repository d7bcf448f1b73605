"""Walls around the serving process: what it gives up once it has started, and who opens files for it from outside."""
