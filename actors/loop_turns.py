"""Turns at the event loop: in each turn of the loop few of a server's clients have work done, however many wait.

A loop that woke everybody whose socket can be read would serve hundreds of them before it looked at its sockets again.
"""

from __future__ import annotations

import select
from typing import Final, Literal

import trio

_WOKEN: Final = 2
"""Sockets in a turn of the loop: each may have a message that takes a millisecond to be read."""
_ENDED: Final = select.EPOLLHUP | select.EPOLLERR
"""Told by the kernel whether it was asked for or not."""
Side = Literal["read", "write"]
_EVENTS: Final[dict[Side, int]] = {"read": select.EPOLLIN | select.EPOLLRDHUP, "write": select.EPOLLOUT}


class LoopTurns:
    """Shared by all connections of a server. Sockets have their turns while :meth:`run` runs; before and after they
    are watched by trio alone, which wakes all at once."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._waiting: dict[int, dict[Side, trio.lowlevel.Task]] = {}
        """The tasks by descriptor, also of sockets that nobody waits for at the moment."""
        self._queue = trio.StrictFIFOLock()

    async def run(self) -> None:
        """Let sockets have their turns, until it is cancelled."""
        with select.epoll() as epoll:
            self._epoll = epoll
            try:
                while True:
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    for descriptor, events in epoll.poll(0, _WOKEN):
                        self._wake(descriptor, events)
                        self._watch(descriptor)
            finally:
                self._epoll = None
                for descriptor in self._waiting:
                    self._wake(descriptor, _ENDED)
                self._waiting.clear()

    async def next(self) -> None:
        """Let others have their turn: of all that wait here, one goes on in each turn of the loop."""
        async with self._queue:
            pass

    async def wait(self, descriptor: int, side: Side) -> None:
        """Until a socket seems to have something to be read or to take something, has ended or is forgotten.

        Raises:
            trio.BusyResourceError: another task waits for the same.
        """
        if self._epoll is None:
            wait = trio.lowlevel.wait_readable if side == "read" else trio.lowlevel.wait_writable
            await wait(descriptor)
            return
        tasks = self._waiting.get(descriptor)
        if tasks is None:
            tasks = self._waiting[descriptor] = {}
            self._epoll.register(descriptor, select.EPOLLONESHOT)
        if side in tasks:
            raise trio.BusyResourceError(f"another task waits to {side}")
        tasks[side] = trio.lowlevel.current_task()
        self._watch(descriptor)

        def abort(_: object) -> trio.lowlevel.Abort:
            del tasks[side]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def forget(self, descriptor: int) -> None:
        """Before a socket is closed: whoever waits for it goes on."""
        if self._epoll is not None and descriptor in self._waiting:
            self._wake(descriptor, _ENDED)
            del self._waiting[descriptor]
            self._epoll.unregister(descriptor)

    def _wake(self, descriptor: int, events: int) -> None:
        tasks = self._waiting[descriptor]
        for side in tuple(tasks):
            if events & (_EVENTS[side] | _ENDED):
                trio.lowlevel.reschedule(tasks.pop(side))

    def _watch(self, descriptor: int) -> None:
        """Have the kernel tell once what is waited for."""
        tasks = self._waiting[descriptor]
        if tasks and self._epoll is not None:
            self._epoll.modify(descriptor, select.EPOLLONESHOT | sum(_EVENTS[side] for side in tasks))
