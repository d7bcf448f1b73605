"""A deadline ends an execution wherever it is, and costs those without one nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.deadlines import Deadlines
from protocol.client import Client
from protocol.errors import InvalidModel
from protocol.requests import Cancel
from tests.actors.engine_factory import Stream, make_client, make_request, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain

SECOND = 1_000_000_000
HOUR_MS = 3_600_000


# --- the timers ------------------------------------------------------------------------------------------------------


class Bell:
    def __init__(self) -> None:
        self.rang_at: float | None = None

    async def ring(self) -> None:
        self.rang_at = trio.current_time()


async def test_a_deadline_is_told_when_it_is_reached(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bell, deadlines = Bell(), Deadlines()
    before = trio.current_time()
    deadlines.begin(nursery, "a", time.monotonic_ns() + 5 * SECOND, bell.ring)
    await trio.sleep(4.9)
    assert bell.rang_at is None
    await trio.sleep(0.2)
    assert bell.rang_at is not None
    assert bell.rang_at - before == pytest.approx(5.0, abs=0.1)


async def test_one_that_is_over_already_is_told_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bell = Bell()
    Deadlines().begin(nursery, "a", time.monotonic_ns() - SECOND, bell.ring)
    before = trio.current_time()
    await wait_all_tasks_blocked()
    assert bell.rang_at == before


async def test_what_has_ended_is_not_told(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bell, deadlines = Bell(), Deadlines()
    deadlines.begin(nursery, "a", time.monotonic_ns() + SECOND, bell.ring)
    deadlines.end("a")
    await trio.sleep(10)
    assert bell.rang_at is None
    assert len(deadlines) == 0


async def test_without_deadlines_there_are_no_timers(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bell, deadlines = Bell(), Deadlines()
    deadlines.begin(nursery, "a", None, bell.ring)
    deadlines.end("a")
    await wait_all_tasks_blocked()
    assert not nursery.child_tasks
    assert len(deadlines) == 0


# --- executions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> MockClock:
    """Runs as real time does, and hours pass when a test says so."""
    return MockClock(rate=1.0)


@asynccontextmanager
async def limited_client(backend: FakeBackend) -> AsyncIterator[tuple[Client, Stream]]:
    """A client, and its request with a deadline in an hour, accepted."""
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request(deadline_ms=HOUR_MS))
        await until(lambda: bool(stream.messages))
        yield client, stream


def next_timer_s() -> float:
    return trio.lowlevel.current_statistics().seconds_to_next_deadline


async def test_in_prefill_or_decode_it_ends_the_sequence_and_keeps_its_tokens(clock: MockClock) -> None:
    for said in ((), ("some", " words")):
        backend = FakeBackend()
        async with limited_client(backend) as (_, stream):
            await until(lambda backend=backend: bool(backend.live))  # type: ignore[misc]
            backend.emit(1, *said)
            await until(lambda stream=stream, said=said: stream.text == "".join(said))  # type: ignore[misc]
            clock.jump(3590)
            await wait_all_tasks_blocked()
            assert not backend.cancelled
            clock.jump(20)
            await stream.ended.wait()
            assert backend.cancelled == [1]
            assert (stream.record.stop_reason, stream.record.result) == ("deadline", "".join(said))
            assert len(stream.record.token_ids) == len(said)
            assert stream.record.logits_digest


async def test_in_the_queue_it_leaves_it(clock: MockClock) -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        first, second = Stream(), Stream()
        nursery.start_soon(first.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(backend.live))
        nursery.start_soon(second.follow, client, make_request(max_sequences=1, deadline_ms=HOUR_MS))
        await until(lambda: bool(second.messages))
        clock.jump(3601)
        await second.ended.wait()
        assert (second.record.stop_reason, second.record.token_ids) == ("deadline", ())
        assert second.record.hardware.kernel_path == "none"
        backend.emit(1, "whole", stop="eos")
        await first.ended.wait()
        assert (first.record.stop_reason, first.record.result) == ("eos", "whole")


async def test_while_its_weights_are_loaded_it_ends_the_load(clock: MockClock) -> None:
    backend = FakeBackend()
    backend.may_load.clear()
    async with limited_client(backend) as (_, stream):
        await trio.to_thread.run_sync(backend.loading.wait)
        clock.jump(3601)
        await stream.ended.wait()
        assert stream.record.stop_reason == "deadline"
        await until(lambda: backend.cancelled_loads == 1)
    assert not backend.prompts


async def test_the_time_counts_from_the_request_and_not_from_the_plan(clock: MockClock) -> None:
    """Making the plan takes longer than the deadline allows: the execution ends as soon as there is one."""
    backend, domain = FakeBackend(), FakeDomain()
    domain.may_prepare.clear()
    async with make_client(backend, domain) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request(deadline_ms=1))
        await trio.to_thread.run_sync(domain.preparing.wait)
        time.sleep(0.002)  # noqa: ASYNC251  the deadline's own clock has to move on
        domain.may_prepare.set()
        await stream.ended.wait()
        assert stream.record.stop_reason == "deadline"


async def test_its_own_end_or_a_cancel_that_came_first_wins(clock: MockClock) -> None:
    backend = FakeBackend()
    async with limited_client(backend) as (client, stream):
        await until(lambda: bool(backend.live))
        assert next_timer_s() <= 3600
        await client.ask(Cancel(execution_id=stream.execution_id))
        clock.jump(3601)
        await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
    backend = FakeBackend(answer=("a",))
    async with make_client(backend) as client:
        assert (await record_of(client, make_request(deadline_ms=HOUR_MS))).stop_reason == "eos"
        await wait_all_tasks_blocked()  # the client hears of the end a little earlier than the timer's keeper
        assert next_timer_s() > 3600


async def test_a_failed_load_is_told_and_leaves_no_timer() -> None:
    backend = FakeBackend(load_error=InvalidModel("damaged"))
    async with limited_client(backend) as (_, stream):
        await stream.ended.wait()
        assert isinstance(stream.error, InvalidModel)
        assert next_timer_s() > 3600
