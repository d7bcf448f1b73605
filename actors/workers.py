"""Threads in which the engine's knowledge is asked; of the clients that wait each gets one in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from actors.fair_turns import FairTurns
from actors.policies.requester import Requester
from protocol.panic import panics_contained

Result = TypeVar("Result")


class Workers:
    """Threads for work that blocks."""

    def __init__(self, threads: int) -> None:
        self._turns = FairTurns(threads)
        self._threads = trio.CapacityLimiter(threads)

    async def run(self, asker: Requester, work: Callable[[], Result], *, abandon: bool = True) -> Result:
        """What the work returns. With ``abandon`` a caller that is cancelled leaves the thread to come to its end."""
        async with self._turns.turn(asker):
            # A thread that was left behind keeps its place among the threads.
            return await trio.to_thread.run_sync(
                panics_contained(work), limiter=self._threads, abandon_on_cancel=abandon
            )
