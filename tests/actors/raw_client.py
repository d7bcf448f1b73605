"""A client that says what a decent one would not."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgpack

from protocol.answers import EngineMessage, Failed, Welcome
from protocol.codec import decode_engine
from protocol.framing import FrameDecoder, encode_frame
from protocol.requests import PROTOCOL_VERSION
from protocol.transport import ByteTransport, TransportClosed

HELLO: dict[str, Any] = {"type": "Hello", "protocol_version": PROTOCOL_VERSION}


class RawClient:
    def __init__(self, transport: ByteTransport) -> None:
        self._transport = transport
        self._decoder = FrameDecoder()
        self._frames: deque[bytes] = deque()

    async def send_bytes(self, data: bytes) -> None:
        await self._transport.send(data)

    async def send(self, *contents: object) -> None:
        await self._transport.send(b"".join(encode_frame(msgpack.packb(content)) for content in contents))

    async def greet(self) -> None:
        await self.send(HELLO)
        assert isinstance(await self.receive(), Welcome)

    async def receive(self) -> EngineMessage:
        while not self._frames:
            self._frames.extend(self._decoder.feed(await self._transport.receive()))
        return decode_engine(self._frames.popleft())

    async def failure(self) -> Failed:
        message = await self.receive()
        assert isinstance(message, Failed), message
        return message

    async def wait_hung_up(self) -> None:
        try:
            message = await self.receive()
        except TransportClosed:
            return
        raise AssertionError(f"still talking: {message}")

    async def aclose(self) -> None:
        await self._transport.aclose()
