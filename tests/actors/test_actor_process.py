"""An actor in another process: it hears and says over a socket what it does here."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from actors.messages import (
    ActorMessage,
    Admitted,
    Enqueue,
    Halt,
    Queued,
    QueueFull,
    SlotFreed,
    Start,
    Withdraw,
    Withdrawn,
)
from tests.actors.candidate_factory import make_candidate
from tests.actors.frame_link import FrameLink
from tests.actors.messages_factory import PLANNED


def started(end: socket.socket) -> subprocess.Popen[bytes]:
    """The process, to which the end of a connection goes."""
    with end:
        return subprocess.Popen((sys.executable, "-m", "tests.actors.scheduler_process"), stdin=end.fileno())


@asynccontextmanager
async def scheduler_elsewhere() -> AsyncIterator[FrameLink]:
    """The process ends with the block, and without a fault."""
    ours, theirs = socket.socketpair()
    process = started(theirs)
    try:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            yield FrameLink(stream)
        with trio.fail_after(60):
            assert await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True) == 0
    finally:
        process.kill()
        process.wait()


def enqueued(name: str) -> Enqueue:
    return Enqueue(candidate=make_candidate(name, max_sequences=1), planned=PLANNED, connection_id=1, request_id=1)


async def test_a_scheduler_in_another_process_queues_admits_and_withdraws() -> None:
    async with scheduler_elsewhere() as link:
        told: list[ActorMessage] = []

        async def tells(*expected: type[ActorMessage]) -> list[ActorMessage]:
            """The next messages, of these kinds; control plane and executor hear in no order of each other."""
            with trio.fail_after(60):
                heard = [await anext(link) for _ in expected]
            assert sorted(type(one).__name__ for one in heard) == sorted(kind.__name__ for kind in expected)
            told.extend(heard)
            return heard

        await link.send(enqueued("first"))
        await tells(Queued, Admitted, Start)
        start = next(one for one in told if isinstance(one, Start))
        assert (start.execution_id, start.planned) == ("first", PLANNED)

        await link.send(enqueued("second"))
        await link.send(enqueued("third"))
        await tells(Queued, Queued)
        await link.send(enqueued("fourth"))
        (full,) = await tells(QueueFull)
        assert (full.execution_id, full.queued) == ("fourth", 2)  # type: ignore[union-attr]

        await link.send(Withdraw(execution_id="second"))
        assert await tells(Withdrawn) == [Withdrawn(execution_id="second")]
        await link.send(Withdraw(execution_id="first"))
        assert await tells(Halt) == [Halt(execution_id="first")]
        await link.send(SlotFreed(execution_id="first"))
        heard = await tells(Admitted, Start)
        assert {one.execution_id for one in heard if isinstance(one, Admitted | Start)} == {"third"}
