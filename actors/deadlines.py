"""Executions that must end by a moment: a timer for each that has one, and none for any other."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio


class Deadlines:
    """The deadlines of executions in progress, each awaited in a task of its own."""

    def __init__(self) -> None:
        self._timers: dict[str, trio.CancelScope] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def begin(
        self, nursery: trio.Nursery, execution_id: str, due_ns: int | None, reached: Callable[[], Awaitable[None]]
    ) -> None:
        """Await ``reached`` in a task of its own when ``due_ns`` (``time.monotonic_ns``) is over; ``None``: never."""
        if due_ns is not None:
            self._timers[execution_id] = trio.CancelScope()
            nursery.start_soon(_wait, self._timers[execution_id], due_ns, reached)

    def end(self, execution_id: str) -> None:
        """The execution needs no deadline any more, whether it had one or not."""
        timer = self._timers.pop(execution_id, None)
        if timer is not None:
            timer.cancel()


async def _wait(timer: trio.CancelScope, due_ns: int, reached: Callable[[], Awaitable[None]]) -> None:
    with timer:
        await trio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
        await reached()
