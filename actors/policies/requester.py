"""Who asks, as far as the system says: what fair shares are counted by."""

from __future__ import annotations

from protocol.value import Value


class Requester(Value):
    """One client of one user."""

    user: str
    """``uid:N``; of a network's client ``host:ADDRESS``; ``engine`` inside this process."""
    client: str
    """``pid:N`` on a Unix socket, ``port:N`` on TCP: a program, or a connection where programs cannot be told."""


ENGINE = Requester(user="engine", client="experiments")
"""Asks on behalf of experiments."""
UNKNOWN = Requester(user="unknown", client="unknown")
"""One who has gone before anything was known of it."""
