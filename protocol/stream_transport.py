"""A connected stream of anyio as a transport."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream

from protocol.transport import TransportClosed


class StreamTransport:
    """A transport over a stream of anyio."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        """Send everything, waiting while the peer does not read. Raises TransportClosed."""
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def receive(self) -> bytes:
        """At least one byte. Raises TransportClosed at the end."""
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def aclose(self) -> None:
        """Hang up. Idempotent."""
        await self._stream.aclose()
