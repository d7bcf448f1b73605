"""A connected stream of anyio as a transport."""

from __future__ import annotations

import anyio
from anyio.abc import ByteStream

from protocol.transport import TransportClosed


class StreamTransport:
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def aclose(self) -> None:
        await self._stream.aclose()
