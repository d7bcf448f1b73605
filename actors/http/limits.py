"""How much of everything the gateway takes on at a time, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of connections, requests and answers."""

    max_connections: int = 512
    """Beyond it the connection that has waited longest without a request is closed, or else the one whose client has
    taken nothing of its answer for longest: slow clients lock nobody out."""
    max_header_bytes: int = 32_768
    max_header_lines: int = 256
    """Each takes several microseconds to be read, during which nothing else may run."""
    max_ahead_bytes: int = 65_536
    """Kept of the requests that a client sends before the last one is answered."""
    max_body_bytes: int = 8 * 2**20
    """Twice what a message of the engine may have: JSON writes the same in more bytes. Reading it keeps others from
    running for milliseconds."""
    header_s: float = 15.0
    """A connection without a whole request is closed after it, new or kept alive; with 408 where one had begun."""
    body_s: float = 30.0
    """A body must have arrived by then. Eight MiB take milliseconds on this machine."""
    write_s: float = 30.0
    """A client that takes nothing of its answer for so long has gone."""
    patience_s: float = 1.0
    """A stream's headers are sent after it though nothing has been answered; then a comment as often."""
    linger_s: float = 2.0
    """A client whose body is refused may go on sending for so long, so that it comes to read why."""
    leave_s: float = 1.0
    """What is being answered when the engine stops has so long to be written."""
