"""What goes wrong in a user's words."""

from __future__ import annotations


class SlmError(Exception):
    """A request that cannot be carried out; the message says what to do instead."""
