"""Proposals: evidence checked, plans put behind names."""
