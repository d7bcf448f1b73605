"""A client's socket that the core may write to beside the event loop."""

from engine._core import ClientSocket

__all__ = ["ClientSocket"]
