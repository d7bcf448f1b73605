"""The replies to one request, on their way from the connection's reader to the task that awaits them."""

from __future__ import annotations

from collections import deque

import anyio

from protocol.answers import EngineMessage


class Arrivals:
    """A bounded queue between two tasks. A reply that is there is taken, and room that is there is used, without a turn
    of the event loop: replies may come a thousand times a second.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: deque[EngineMessage] = deque()
        self._closed = False
        self._changed: anyio.Event | None = None
        """Where a task waits: the reader for room, or the other for a reply."""

    async def put(self, message: EngineMessage) -> None:
        """Waits for room. Dropped where the queue is closed."""
        while len(self._messages) >= self._size and not self._closed:
            await self._change()
        if not self._closed:
            self._messages.append(message)
            self._tell()

    async def take(self) -> EngineMessage:
        """The next reply. Raises anyio.EndOfStream where none is left and the queue is closed."""
        while not self._messages:
            if self._closed:
                raise anyio.EndOfStream
            await self._change()
        message = self._messages.popleft()
        self._tell()
        return message

    def close(self) -> None:
        """Take nothing more; what is there may still be taken."""
        self._closed = True
        self._tell()

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
