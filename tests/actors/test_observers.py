"""Observers are told of everybody's executions, from any event on, and disturb none of them."""

from __future__ import annotations

from contextlib import aclosing

import trio
import trio.lowlevel

from actors.limits import ServiceLimits
from actors.system import running
from protocol.answers import Event, Subscribed
from protocol.client import Client
from protocol.events import AcceptedEvent, EndedEvent, EventFilter
from protocol.requests import Subscribe
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend


class Observer:
    def __init__(self) -> None:
        self.begun: Subscribed | None = None
        self.events: list[Event] = []

    async def follow(self, client: Client, wanted: EventFilter | None = None, after: int | None = None) -> None:
        async with aclosing(client.follow(Subscribe(wanted=wanted or EventFilter(), after=after))) as messages:
            async for message in messages:
                if isinstance(message, Event):
                    self.events.append(message)
                elif isinstance(message, Subscribed):
                    self.begun = message

    def kinds(self) -> list[str]:
        return [event.body.kind for event in self.events]


async def test_an_observer_sees_the_life_of_anothers_execution() -> None:
    system = make_system(FakeBackend(answer=("a", "b")))
    async with running(system), system.client() as client, system.client() as other, trio.open_nursery() as nursery:
        observer = Observer()
        nursery.start_soon(observer.follow, other)
        await until(lambda: observer.begun is not None)
        record = await record_of(client, make_request())
        await until(lambda: observer.kinds()[-1:] == ["ended"])
        assert observer.kinds() == ["accepted", "admitted", "started", "tokens", "ended"]
        first, *_, last = observer.events
        assert isinstance(first.body, AcceptedEvent)
        assert first.body.plan == record.plan
        assert isinstance(last.body, EndedEvent)
        assert last.body.metrics == record.metrics
        assert {event.execution_id for event in observer.events} == {record.execution_id}
        assert [event.sequence for event in observer.events] == [1, 2, 3, 3, 4]
        nursery.cancel_scope.cancel()


async def test_filters_choose_and_what_has_been_is_replayed() -> None:
    system = make_system(FakeBackend(answer=("a",)))
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        records = [await record_of(client, make_request()) for _ in range(3)]
        late, narrow = Observer(), Observer()
        nursery.start_soon(late.follow, client, None, 4)
        ended = EventFilter(kinds=("ended",), execution_id=records[1].execution_id, model="tiny")
        nursery.start_soon(narrow.follow, client, ended, 0)
        await until(lambda: len(late.events) == 8 and len(narrow.events) == 1)
        assert [event.sequence for event in late.events] == list(range(5, 13))
        assert late.begun is not None
        assert (late.begun.last_sequence, late.begun.missed) == (12, 0)
        assert narrow.events[0].execution_id == records[1].execution_id
        nursery.cancel_scope.cancel()


async def test_who_leaves_is_told_no_more_and_a_stopping_engine_says_goodbye() -> None:
    system = make_system(FakeBackend(answer=("a",)))
    async with running(system), system.client() as client, system.client() as other, trio.open_nursery() as nursery:
        async with aclosing(other.follow(Subscribe())) as messages:
            await anext(messages)
        observer = Observer()
        nursery.start_soon(observer.follow, other)
        await until(lambda: observer.begun is not None)
        await record_of(client, make_request())
        await until(lambda: len(observer.events) == 5)
        await system.stop()  # and follow() returns


async def test_an_observer_that_does_not_read_holds_nobody_up() -> None:
    backend = FakeBackend()
    system = make_system(backend, limits=ServiceLimits(outbox_bytes=20_000))
    async with running(system), system.client() as client, system.client() as deaf, trio.open_nursery() as nursery:
        messages = deaf.follow(Subscribe())
        await anext(messages)
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request(max_tokens=5000))
        await until(lambda: bool(backend.live))
        for _ in range(2000):
            backend.emit(1, "x")
            await trio.lowlevel.checkpoint()
        backend.emit(1, stop="eos")
        await stream.ended.wait()
        assert stream.text == "x" * 2000
        await messages.aclose()
