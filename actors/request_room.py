"""Room for the requests that wait to be answered: how many there are, and what their frames weigh."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import trio

from actors.policies.requester import Requester
from actors.policies.shares import Shares

UNCOUNTED_BYTES = 65_536
"""Kept of a frame or a body that arrives without asking for room."""


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    size: int
    taken: trio.Event = field(default_factory=trio.Event)


class RequestRoom:
    """Shared by all connections, and by those of HTTP while a body is on its way to become a message. Each weighs its
    length: text and tokens made of it take a few times that."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._requests = Shares(max_requests)
        self._bytes = Shares(max_bytes)
        self._waiting: OrderedDict[Requester, deque[_Wanted]] = OrderedDict()
        """Who waits for bytes; the client that is asked first, first."""

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
        if asker not in self._waiting and self._bytes.take(asker, size):
            return
        wanted = _Wanted(size)
        self._waiting.setdefault(asker, deque()).append(wanted)
        try:
            await wanted.taken.wait()
        except trio.Cancelled:
            self._leave(asker, wanted)
            raise

    def give_back_bytes(self, asker: Requester, size: int) -> None:
        """What was received is gone again."""
        self._bytes.give_back(asker, size)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Take for those who wait as much as there is; nobody else is woken. Each client's own go in their order."""
        for asker in tuple(self._waiting):
            own = self._waiting[asker]
            while own and self._bytes.take(asker, own[0].size):
                own.popleft().taken.set()
                self._waiting.move_to_end(asker)
            if not own:
                del self._waiting[asker]

    def _leave(self, asker: Requester, wanted: _Wanted) -> None:
        own = self._waiting[asker]
        own.remove(wanted)
        if not own:
            del self._waiting[asker]
        self._serve_waiting()
