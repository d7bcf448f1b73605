"""Places of which each waiting client gets one in turn, however many requests of its own wait."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from actors.policies.requester import Requester


class FairTurns:
    """The first request of every client goes before the second of any."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[Requester, deque[trio.Event]] = OrderedDict()
        """The client whose turn is next, first."""

    @property
    def busy(self) -> bool:
        """Whether no place is free."""
        return not self._free

    @asynccontextmanager
    async def turn(self, asker: Requester) -> AsyncIterator[None]:
        """Wait for a place, and hold it until the end of the block."""
        await self._wait(asker)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, asker: Requester) -> None:
        if self._free:
            self._free -= 1
            return
        called = trio.Event()
        self._waiting.setdefault(asker, deque()).append(called)
        try:
            await called.wait()
        except trio.Cancelled:
            self._leave(asker, called)
            raise

    def _leave(self, asker: Requester, called: trio.Event) -> None:
        if called.is_set():
            self._pass_on()
            return
        own = self._waiting[asker]
        own.remove(called)
        if not own:
            del self._waiting[asker]

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        asker, own = self._waiting.popitem(last=False)
        own.popleft().set()
        if own:
            self._waiting[asker] = own
