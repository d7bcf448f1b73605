"""Observers are told of everybody's executions, from any event on, and disturb none of them."""

from __future__ import annotations

from contextlib import aclosing
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.lowlevel

from actors.execution import Execution
from actors.limits import ServiceLimits
from actors.messages import Addressed
from actors.observers import MOST_SUBSCRIPTIONS, Observers
from actors.policies.requester import Requester
from actors.policies.shares import Shares
from actors.system import running
from protocol.answers import Event, Subscribed
from protocol.client import Client
from protocol.errors import Overloaded
from protocol.events import AcceptedEvent, AdmittedEvent, EndedEvent, EventFilter, TokensEvent
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


EXECUTION = cast(
    "Execution", SimpleNamespace(execution_id="e", plan=SimpleNamespace(model_ref=SimpleNamespace(name="tiny")))
)
LASTING = AdmittedEvent(queue_ms=1.0)


def client(number: int) -> Requester:
    return Requester(user=f"uid:{number}", client="pid:1")


def events_of(replies: list[Addressed]) -> list[tuple[int, int]]:
    """To whom, and the number of the event."""
    return [(one.connection_id, one.message.sequence) for one in replies if isinstance(one.message, Event)]


def test_what_has_been_is_replayed_piece_by_piece_and_before_what_comes() -> None:
    observers = Observers(lambda: None)
    for _ in range(1000):
        observers.tell_of(EXECUTION, LASTING)
    assert not observers.pending
    begun = observers.subscribe(1, client(1), Subscribe(request_id=1, after=0)).message
    assert isinstance(begun, Subscribed)
    assert begun.last_sequence == 1000
    observers.tell_of(EXECUTION, LASTING)
    pieces: list[list[tuple[int, int]]] = []
    while observers.pending:
        pieces.append(events_of(observers.take(32)))
    assert {len(piece) for piece in pieces[:31]} == {32}
    assert [number for piece in pieces for _, number in piece] == list(range(1, 1002))


def test_subscriptions_are_shared() -> None:
    observers = Observers(lambda: None)
    shares, share = Shares(MOST_SUBSCRIPTIONS), 0
    while shares.take(client(1)):
        share += 1
    for number in range(share):
        observers.subscribe(1, client(1), Subscribe(request_id=1 + number))
    with pytest.raises(Overloaded, match="share of subscriptions"):
        observers.subscribe(1, client(1), Subscribe(request_id=1 + share))
    observers.subscribe(2, client(2), Subscribe(request_id=1))
    assert len(observers.unsubscribe(1, range(1, 1 + share))) == share
    observers.subscribe(1, client(1), Subscribe(request_id=1))


def test_where_too_much_is_to_be_told_what_does_not_last_is_left_out() -> None:
    observers = Observers(lambda: None)
    observers.subscribe(1, client(1), Subscribe(request_id=1))
    for total in range(2000):
        observers.tell_of(EXECUTION, TokensEvent(tokens_total=total))
    for _ in range(10):
        observers.tell_of(EXECUTION, LASTING)
    told = observers.take(5000)
    kinds = [one.message.body.kind for one in told if isinstance(one.message, Event)]
    assert kinds == ["tokens"] * 1024 + ["admitted"] * 10
    observers.tell_of(EXECUTION, TokensEvent(tokens_total=1))
    assert len(observers.take(5000)) == 1


def test_whoever_left_is_told_nothing_that_was_about_to_be() -> None:
    observers = Observers(lambda: None)
    observers.subscribe(1, client(1), Subscribe(request_id=1))
    observers.subscribe(2, client(2), Subscribe(request_id=1))
    observers.tell_of(EXECUTION, LASTING)
    observers.unsubscribe(1, (1,))
    assert events_of(observers.take(10)) == [(2, 1)]


async def test_in_a_turn_of_the_loop_few_events_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    take = Observers.take

    def counted(observers: Observers, most: int) -> list[Addressed]:
        taken = take(observers, most)
        pieces.append(len(taken))
        return taken

    monkeypatch.setattr(Observers, "take", counted)
    system = make_system(FakeBackend(answer=("a",)))
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        for _ in range(20):
            await record_of(client, make_request())
        observers = [Observer() for _ in range(5)]
        for observer in observers:
            nursery.start_soon(observer.follow, client, None, 0)
        await until(lambda: all(len(observer.events) == 80 for observer in observers))
        assert sum(pieces) == 400
        assert max(pieces) == 32
        nursery.cancel_scope.cancel()
