"""Room for the requests that wait to be answered: how many there are, and what their frames weigh."""

from __future__ import annotations

import trio

from actors.policies.requester import Requester
from actors.policies.shares import Shares

UNCOUNTED_BYTES = 65_536
"""Kept of a frame or a body that arrives without asking for room."""


class RequestRoom:
    """Shared by all connections, and by those of HTTP while a body is on its way to become a message. Each weighs its
    length: text and tokens made of it take a few times that."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._requests = Shares(max_requests)
        self._bytes = Shares(max_bytes)
        self._freed = trio.Event()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all requests that are not answered, and of frames and bodies that are being received."""
        return self._bytes.taken

    def take(self, asker: Requester, size: int) -> bool:
        """Whether there was room for one more request, of so many bytes beside those taken while it came."""
        if not self._requests.has_room(asker) or not self._bytes.take(asker, size):
            return False
        return self._requests.take(asker)

    def give_back(self, asker: Requester, size: int) -> None:
        """A request of that size is answered."""
        self._requests.give_back(asker)
        self.give_back_bytes(asker, size)

    async def take_bytes(self, asker: Requester, size: int) -> None:
        """Wait until so much more may be received."""
        while not self._bytes.take(asker, size):
            await self._freed.wait()

    def give_back_bytes(self, asker: Requester, size: int) -> None:
        """What was received is gone again."""
        self._bytes.give_back(asker, size)
        self._freed.set()
        self._freed = trio.Event()
