"""Experiments: declared, carried out by the actors, and told in plain figures."""
