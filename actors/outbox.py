"""Replies of one connection on their way out, in their order: sent at once where none waits, else by a task."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import trio

from engine.host.client_socket import ClientSocket
from protocol.answers import EngineMessage
from protocol.codec import encode, failed
from protocol.errors import FrameTooLarge
from protocol.framing import encode_frame
from protocol.large_message import encode_in_pieces
from protocol.transport import EagerTransport, TransportClosed

_UNENCODED_BYTES = 1


class Outbox:
    """What the transport has not taken yet."""

    def __init__(self, transport: EagerTransport, client_socket: ClientSocket | None, max_frame_bytes: int) -> None:
        """``client_socket``: the transport's, where tokens are written to it beside this outbox."""
        self._transport = transport
        self._client_socket = client_socket
        self._max_frame_bytes = max_frame_bytes
        self.waiting_bytes = 0
        """A large message that is not encoded yet counts for the least."""
        self._waiting: deque[bytes | EngineMessage] = deque()
        """Frames, and large messages that have yet to become some."""
        self._filled = trio.Event()
        self._emptied = trio.Event()
        self._sending = False

    def frame(self, message: EngineMessage, encoded: Callable[[EngineMessage], bytes] = encode) -> bytes:
        """The message as it is sent; where no frame can hold it, the error that says so."""
        try:
            return encode_frame(encoded(message), self._max_frame_bytes)
        except FrameTooLarge as error:
            return encode_frame(encode(failed(getattr(message, "request_id", None), error)))

    def add(self, frames: bytes) -> None:
        """Send frames behind all that waits."""
        # Nearly always the reader keeps up, and then they are gone before the task would have its turn.
        if not self.waiting_bytes:
            frames = self._transport.send_nowait(frames)
        if frames:
            self._wait(frames, len(frames))

    def add_large(self, message: EngineMessage) -> None:
        """The same for a message that takes long to encode: that is done in a thread, when its turn has come."""
        if self._client_socket is not None:
            self._client_socket.hold()  # tokens may not overtake those that come to stand behind it
        self._wait(message, _UNENCODED_BYTES)

    def _wait(self, frames: bytes | EngineMessage, size: int) -> None:
        self._waiting.append(frames)
        self.waiting_bytes += size
        self._filled.set()

    async def write(self) -> None:
        """Send what waits, for ever. Raises TransportClosed."""
        while True:
            await self._filled.wait()
            self._filled = trio.Event()
            while self._waiting:
                data = await self._next_frames()
                self._sending = True
                await self._transport.send(data)
                self._sending = False
                self.waiting_bytes -= len(data)
            if self._client_socket is not None:
                self._client_socket.release()
            self._emptied.set()
            self._emptied = trio.Event()

    async def _next_frames(self) -> bytes:
        """The large message that is next, encoded; else all that comes before one."""
        if not isinstance(self._waiting[0], bytes):
            frame = await trio.to_thread.run_sync(self.frame, self._waiting[0], encode_in_pieces)
            self._waiting.popleft()
            self.waiting_bytes += len(frame) - _UNENCODED_BYTES
            return frame
        frames: list[bytes] = []
        while self._waiting and isinstance(self._waiting[0], bytes):
            frames.append(cast("bytes", self._waiting.popleft()))
        return b"".join(frames)

    async def wait_empty(self) -> None:
        """Until the transport has taken everything."""
        if self.waiting_bytes:
            await self._emptied.wait()

    async def write_at_last(self, seconds: float) -> None:
        """Send what waits though the task that writes was cancelled, unless that was in the middle of a frame: nothing
        that follows could be read."""
        if self._sending:
            return
        with trio.move_on_after(seconds, shield=True), suppress(TransportClosed):
            for each in self._waiting:
                await self._transport.send(each if isinstance(each, bytes) else self.frame(each))
