"""What every actor is: named bounded inboxes, one task for each, in one nursery.

Requests come from above and events from below, through different inboxes and tasks. A task that serves events may
wait for the actor above, never for one below; so every wait leads up, or down and then up, and none comes back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import trio
from typing_extensions import Self

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class InboxStatistics:
    """The state of one inbox."""

    name: str
    size: int
    waiting: int
    """Messages sent and not yet received."""


class Codec(Protocol[Message]):
    """Messages to bytes and back (:mod:`actors.message_codec`)."""

    def encode(self, message: Message) -> bytes:
        """The message as a frame."""

    def decode(self, frame: bytes) -> Message:
        """The message in a frame. Raises ValueError: it is none."""


class Inbox(Generic[Message]):
    """A bounded channel into one actor. ``reason`` says why the size is right.

    With a ``codec`` it carries frames: the receiver gets what it would get in another process, and no object of the
    sender's.
    """

    def __init__(self, name: str, size: int, reason: str, codec: Codec[Message] | None = None) -> None:
        self.name = name
        self.size = size
        self.reason = reason
        self._codec = codec
        self._send, self._receive = trio.open_memory_channel[Message | bytes](size)
        self._handle: Callable[[Message], bool] | None = None
        self._unhandled = 0

    async def put(self, message: Message) -> None:
        """Send, waiting while the inbox is full."""
        carried = self._carried(message)
        if self._is_handled(carried):
            return
        try:
            # Most sends find room, and then need no trip through the scheduler.
            self._send.send_nowait(carried)
        except trio.WouldBlock:
            await self._send.send(carried)
        self._unhandled += 1

    def put_nowait(self, message: Message) -> None:
        """Send to an inbox whose size was chosen so that this cannot fail. Raises trio.WouldBlock if it was not."""
        carried = self._carried(message)
        if not self._is_handled(carried):
            self._send.send_nowait(carried)
            self._unhandled += 1

    def offer(self, handle: Callable[[Message], bool]) -> None:
        """From now on offer each message to ``handle`` where it is put, if all before it have been handled.

        What it returns False for is sent.
        """
        self._handle = handle

    def mark_handled(self) -> None:
        """To be called once for each message received, when it has been handled."""
        self._unhandled -= 1

    def _is_handled(self, carried: Message | bytes) -> bool:
        return self._handle is not None and not self._unhandled and self._handle(self._received(carried))

    def _carried(self, message: Message) -> Message | bytes:
        return message if self._codec is None else self._codec.encode(message)

    def _received(self, carried: Message | bytes) -> Message:
        # With a codec it is always a frame, and without one never.
        return cast(Message, carried) if self._codec is None else self._codec.decode(cast(bytes, carried))

    def take_waiting(self) -> list[Message]:
        """What has been sent and not yet received; without waiting."""
        taken: list[Message] = []
        with suppress(trio.WouldBlock):
            while True:
                taken.append(self._received(self._receive.receive_nowait()))
        return taken

    # No generator: one that a failing task leaves behind in the middle would have to be closed by somebody.
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return self._received(await self._receive.receive())

    def statistics(self) -> InboxStatistics:
        """The inbox's size and how many messages wait in it."""
        waiting = self._send.statistics().current_buffer_used
        return InboxStatistics(name=self.name, size=self.size, waiting=waiting)


class Actor(ABC):
    """Runs until cancelled. A failure in any of its tasks ends it and goes up the nursery that runs it."""

    nursery: trio.Nursery
    """Holds the actor's tasks; there while it runs."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the actor's tasks until they end, then close it."""
        try:
            async with trio.open_nursery() as self.nursery:
                self.start_tasks()
                task_status.started()
        finally:
            self.close()

    @abstractmethod
    def start_tasks(self) -> None:
        """Start one task for each inbox, and what else the actor needs, in ``self.nursery``."""

    def close(self) -> None:  # noqa: B027  most actors own nothing that must be given back
        """Give back what the actor owns. Called once, when its tasks have ended."""

    def serve(self, inbox: Inbox[Message], handle: Callable[[Message], Awaitable[None]]) -> None:
        """Handle the inbox's messages, one after another, in a task of its own."""
        self.nursery.start_soon(_serve, inbox, handle, name=inbox.name)

    def serve_at_once(self, inbox: Inbox[Message], handle: Callable[[Message], bool]) -> None:
        """Beside :meth:`serve`, handle without a turn of the scheduler what needs no waiting: ``handle`` says whether.

        What it raises ends this actor, and not the sender, in whose task it runs.
        """

        def guarded(message: Message) -> bool:
            try:
                return handle(message)
            except Exception as error:  # of whatever kind, it goes up this actor's nursery
                self.nursery.start_soon(_fail, error)
                return True

        inbox.offer(guarded)


class RestartableActor(Actor):
    """Keeps its inbox and what it was asked while it is down: its next run answers what waits."""

    @abstractmethod
    def recover(self, failure: str) -> None:
        """Make ready to run again and to answer what the failure left unanswered. Raises where it cannot be done."""

    @abstractmethod
    def give_up(self, failure: str) -> None:
        """Make ready to run without what failed: answer what was left unanswered, refuse everything from now on."""


async def _serve(inbox: Inbox[Message], handle: Callable[[Message], Awaitable[None]]) -> None:
    async for message in inbox:
        await handle(message)
        inbox.mark_handled()


async def _fail(error: Exception) -> None:
    raise error
