"""Bits per byte of unseen text: of models in PyTorch and in the engine, and of what needs no model."""
