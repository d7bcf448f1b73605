"""A connection inside one process: the bytes of the protocol, and no socket."""

from __future__ import annotations

import trio

from protocol.transport import TransportClosed

_CHUNKS = 16
"""Chunks on their way in one direction; more would only hide a reader that does not keep up."""


class LoopbackTransport:
    """One end of a connection within this process."""

    def __init__(self, outgoing: trio.MemorySendChannel[bytes], incoming: trio.MemoryReceiveChannel[bytes]) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, data: bytes) -> None:
        """Send everything, waiting while the peer does not read. Raises TransportClosed."""
        try:
            await self._outgoing.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def send_nowait(self, data: bytes) -> bytes:
        """Send all of it or, where the peer does not keep up or is gone, nothing; what is left."""
        try:
            self._outgoing.send_nowait(data)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return data
        return b""

    async def receive(self) -> bytes:
        """The next bytes. Raises TransportClosed at the end."""
        try:
            return await self._incoming.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def aclose(self) -> None:
        """Hang up. Idempotent."""
        self._outgoing.close()
        self._incoming.close()


def loopback_pair() -> tuple[LoopbackTransport, LoopbackTransport]:
    """Two ends; what one sends the other receives."""
    to_second, from_first = trio.open_memory_channel[bytes](_CHUNKS)
    to_first, from_second = trio.open_memory_channel[bytes](_CHUNKS)
    return LoopbackTransport(to_second, from_second), LoopbackTransport(to_first, from_first)
