"""The replies to one request, on their way from the task that reads the connection to the one that awaits them."""

from __future__ import annotations

from collections import deque

import anyio

from protocol.answers import EngineMessage


class Arrivals:
    """A bounded queue between two tasks.

    A reply that is there is taken, and room that is there is used, without a turn of the event loop: replies may come
    a thousand times a second.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: deque[EngineMessage] = deque()
        self._closed = False
        self._changed: anyio.Event | None = None
        """The thing that a waiting task awaits: the reading task waits for room, the other one for a reply."""

    async def put(self, message: EngineMessage) -> None:
        """Waits for room. Dropped where the queue is closed."""
        while len(self._messages) >= self._size and not self._closed:
            await self.change()
        if not self._closed:
            self._messages.append(message)
            self.wake()

    def take(self) -> EngineMessage:
        """The next reply, which must be there."""
        message = self._messages.popleft()
        self.wake()
        return message

    def __len__(self) -> int:
        return len(self._messages)

    def close(self) -> None:
        """Take nothing more; what is there may still be taken."""
        self._closed = True
        self.wake()

    async def change(self) -> None:
        """Wait until a reply comes, the queue is closed, or :meth:`wake` is called."""
        if self._changed is None:
            self._changed = anyio.Event()
        changed = self._changed
        try:
            await changed.wait()
        finally:
            if self._changed is changed:
                self._changed = None

    def wake(self) -> bool:
        """Whether a task was waiting."""
        if self._changed is None:
            return False
        self._changed.set()
        self._changed = None
        return True
