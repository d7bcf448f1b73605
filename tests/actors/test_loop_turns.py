"""However many clients have something to be done, few have their turn between two looks at the sockets."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.limits import ServiceLimits
from actors.loop_turns import LoopTurns
from actors.system import running
from tests.actors.engine_factory import make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.http_stage import stage
from tests.actors.turn_counter import counting

MANY = 60
AT_ONCE = 12
"""Steps of connections in a turn: two are woken, and each ends within a few steps, one in a turn."""


@asynccontextmanager
async def turns_running() -> AsyncIterator[tuple[LoopTurns, trio.Nursery]]:
    turns = LoopTurns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        await wait_all_tasks_blocked()
        yield turns, nursery
        nursery.cancel_scope.cancel()


def connected_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def close(turns: LoopTurns, ours: socket.socket) -> None:
    turns.forget(ours.fileno())
    ours.close()


async def test_of_many_readable_sockets_two_are_served_in_a_turn() -> None:
    served: list[int] = []
    async with turns_running() as (turns, nursery):
        pairs = [connected_pair() for _ in range(MANY)]

        async def read(number: int) -> None:
            await turns.wait(pairs[number][0].fileno(), "read")
            served.append(number)

        for number in range(MANY):
            nursery.start_soon(read, number, name="reader")
        await wait_all_tasks_blocked()
        with counting("reader") as counter:
            for _, theirs in pairs:
                theirs.send(b"x")
            await until(lambda: len(served) == MANY)
        assert counter.most == 2
        for ours, theirs in pairs:
            close(turns, ours)
            theirs.close()
    assert sorted(served) == list(range(MANY))


async def test_between_pieces_of_work_one_goes_on_in_a_turn() -> None:
    order: list[int] = []
    async with turns_running() as (turns, nursery):

        async def work(number: int) -> None:
            for _ in range(3):
                await turns.next()
                order.append(number)

        with counting("worker") as counter:
            async with trio.open_nursery() as workers:
                for number in range(MANY):
                    workers.start_soon(work, number, name="worker")
                for _ in range(2):
                    await trio.lowlevel.checkpoint()
                assert counter.most == MANY  # all began in one turn
                counter.most = 0
        assert counter.most == 1
        assert len(set(order[:MANY])) == MANY
        nursery.cancel_scope.cancel()


async def test_a_socket_is_read_and_written_at_the_same_time() -> None:
    async with turns_running() as (turns, nursery):
        ours, theirs = connected_pair()
        with ours, theirs:
            done: list[str] = []

            async def read() -> None:
                await turns.wait(ours.fileno(), "read")
                done.append("read")

            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            await turns.wait(ours.fileno(), "write")
            with pytest.raises(trio.BusyResourceError):
                await turns.wait(ours.fileno(), "read")
            assert done == []
            theirs.send(b"x")
            await until(lambda: done == ["read"])


async def test_whoever_gives_up_waiting_can_wait_again() -> None:
    async with turns_running() as (turns, _):
        ours, theirs = connected_pair()
        with ours, theirs:
            for _ in range(2):
                with trio.move_on_after(0) as given_up:
                    await turns.wait(ours.fileno(), "read")
                assert given_up.cancelled_caught
            theirs.send(b"x")
            await turns.wait(ours.fileno(), "read")


async def test_whoever_waits_for_a_socket_that_is_closed_goes_on() -> None:
    async with turns_running() as (turns, nursery):
        ours, theirs = connected_pair()
        gone = trio.Event()

        async def read() -> None:
            await turns.wait(ours.fileno(), "read")
            gone.set()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        close(turns, ours)
        theirs.close()
        await gone.wait()


async def test_sockets_are_served_before_and_after_too() -> None:
    turns = LoopTurns()
    ours, theirs = connected_pair()
    with ours, theirs:
        theirs.send(b"x")
        await turns.wait(ours.fileno(), "read")
        ours.recv(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.run)
            await wait_all_tasks_blocked()
            nursery.start_soon(turns.wait, ours.fileno(), "read")
            await wait_all_tasks_blocked()
            await turns.wait(ours.fileno(), "write")
            theirs.send(b"x")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await turns.wait(ours.fileno(), "read")
        await turns.wait(ours.fileno(), "write")


async def test_connections_that_end_in_the_same_moment_end_one_after_the_other() -> None:
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        path = Path(folder) / "private" / "engine.sock"
        async with running(make_system(FakeBackend(), socket_path=path)) as system:
            count = ServiceLimits().max_connections
            async with AsyncExitStack() as clients:
                for _ in range(count):
                    await clients.enter_async_context(await trio.open_unix_socket(path))
                await until(lambda: system.statistics().api_server.connections == count)
                await wait_all_tasks_blocked()
                streams = clients.pop_all()
            with counting("connection") as counter:
                await streams.aclose()
                await until(lambda: not system.statistics().api_server.connections)
            assert counter.ended == count
            assert counter.most <= AT_ONCE


async def test_connections_of_http_that_end_in_the_same_moment_end_one_after_the_other() -> None:
    async with stage() as http:
        clients = [await http.connect() for _ in range(MANY)]
        for client in clients:
            await client.send_all(b"GET / HT")
        await wait_all_tasks_blocked(0.05)
        with counting("HTTP connection") as counter:
            for client in clients:
                client.socket.close()
            await until(lambda: counter.ended == MANY)
        assert counter.most <= AT_ONCE
