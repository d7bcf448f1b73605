"""Messages between actors of two processes: frames on a stream. A message's class says whom it is for."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import trio
from typing_extensions import Self

from actors.base import Inbox
from actors.message_codec import MessageCodec
from actors.messages import ActorMessage
from protocol.framing import FrameDecoder, encode_frame

CODEC: Final = MessageCodec[Any](ActorMessage)


class FrameLink:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._decoder = FrameDecoder()
        self._frames = deque[bytes]()
        self._sending = trio.Lock()

    async def send(self, message: ActorMessage) -> None:
        async with self._sending:
            await self._stream.send_all(encode_frame(CODEC.encode(message)))

    async def send_all_of(self, inbox: Inbox[Any]) -> None:
        """Until cancelled."""
        async for message in inbox:
            await self.send(message)

    def __aiter__(self) -> Self:
        """The other process's messages, until it closes its end."""
        return self

    async def __anext__(self) -> ActorMessage:
        while not self._frames:
            data = await self._stream.receive_some()
            if not data:
                raise StopAsyncIteration
            self._frames.extend(self._decoder.feed(bytes(data)))
        message: ActorMessage = CODEC.decode(self._frames.popleft())
        return message
