"""What a client or a connection handler needs of a byte stream, whatever carries it."""

from __future__ import annotations

from typing import Protocol


class ByteTransport(Protocol):
    """A duplex of bytes. Its methods raise :class:`TransportClosed` once either side has hung up."""

    async def send(self, data: bytes) -> None:
        """Send everything, waiting while the peer does not read."""

    async def receive(self) -> bytes:
        """At least one byte. Raises TransportClosed at the end."""

    async def aclose(self) -> None:
        """Hang up. Idempotent; never waits for the peer."""


class EagerTransport(ByteTransport, Protocol):
    """A transport that can also try to send without a turn of the event loop."""

    def send_nowait(self, data: bytes) -> bytes:
        """Send as much as the peer takes at once; what is left. That is all of it also where the peer is gone."""


class TransportClosed(Exception):  # noqa: N818  named as what happened; a connection's ordinary end is no error
    """The stream has ended."""
