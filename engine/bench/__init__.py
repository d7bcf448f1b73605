"""Measured rates of a loaded model, without clients."""
