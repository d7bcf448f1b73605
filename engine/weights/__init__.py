"""Weights in other types than the file has: made, kept and found again."""
