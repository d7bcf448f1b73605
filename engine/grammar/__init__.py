"""Grammars that hold answers: what they may ask for, and trying them in a process of their own."""
