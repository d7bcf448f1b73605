"""Threads in which the engine's knowledge is asked; of the clients that wait each gets one in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from actors.fair_turns import FairTurns
from actors.policies.requester import Requester
from engine.artifact.unread_files import UnreadFiles
from protocol.panic import panics_contained

Result = TypeVar("Result")


class Workers:
    """Threads for work that blocks."""

    def __init__(self, threads: int) -> None:
        self._working = _Places(threads)
        self._reading = _Places(1)
        """For large files, which would keep a worker for minutes; more would only take the disk from each other."""

    async def run(self, asker: Requester, work: Callable[[], Result], *, abandon: bool = True) -> Result:
        """What the work returns, once what it must have read is read. With ``abandon`` a caller that is cancelled
        leaves the thread to come to its end."""
        while True:
            try:
                return await self._working.run(asker, work, abandon=abandon)
            except UnreadFiles as files:
                await self._reading.run(asker, files.read, abandon=abandon)


class _Places:
    def __init__(self, threads: int) -> None:
        self._turns = FairTurns(threads)
        self._threads = trio.CapacityLimiter(threads)

    async def run(self, asker: Requester, work: Callable[[], Result], *, abandon: bool) -> Result:
        async with self._turns.turn(asker):
            # A thread that was left behind keeps its place among the threads.
            return await trio.to_thread.run_sync(
                panics_contained(work), limiter=self._threads, abandon_on_cancel=abandon
            )
