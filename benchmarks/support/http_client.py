"""A client of HTTP servers that costs little: one connection, server-sent events, their JSON read."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio


class HttpClient:
    """One connection, kept alive between answers that were read to their end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._read = bytearray()

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of an answer, without comments and ``[DONE]``. Raises RuntimeError for any status but 200."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: engine\r\nContent-Length: {len(content)}\r\n\r\n"
        await self._stream.send_all(head.encode() + content)
        status = await self._until(b"\r\n\r\n")
        if not status.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{status.splitlines()[0]!r} {bytes(self._read)!r}")
        text = b""
        async for chunk in self._chunks():
            *events, text = (text + chunk).split(b"\n\n")
            for event in events:
                if event.startswith(b"data: {"):
                    yield json.loads(event[6:])

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while size := int(await self._until(b"\r\n"), 16):
            while len(self._read) < size + 2:
                await self._receive()
            yield bytes(self._read[:size])
            del self._read[: size + 2]
        await self._until(b"\r\n")

    async def _until(self, end: bytes) -> bytes:
        while (at := self._read.find(end)) < 0:
            await self._receive()
        found = bytes(self._read[:at])
        del self._read[: at + len(end)]
        return found

    async def _receive(self) -> None:
        arrived = await self._stream.receive_some(65_536)
        if not arrived:
            raise RuntimeError("the engine hung up")
        self._read += arrived


@asynccontextmanager
async def http_client(address: Path | str) -> AsyncIterator[HttpClient]:
    """A client of the HTTP socket at a path, or of ``HOST:PORT``."""
    if isinstance(address, Path):
        stream = await trio.open_unix_socket(str(address))
    else:
        host, port = address.split(":")
        stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        yield HttpClient(stream)
