"""What the serving process has given up of its machine."""

from __future__ import annotations

from typing import Literal

from protocol.value import Value

Wall = Literal["files", "network", "processes", "system_calls"]
"""Files outside its own folders; ports and sockets of others; signals to processes that it did not start; calls that
change the system or look into other processes."""


class Sandbox(Value):
    """The walls around the process that ran something."""

    in_force: tuple[Wall, ...] = ()
    reason: str | None = None
    """Why not all of them."""
