"""The engine stops when asked, and everyone who waits is told."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.limits import ServiceLimits
from actors.system import System, running
from protocol.answers import Accepted
from protocol.client import Client
from protocol.errors import EngineUnreachable, ShuttingDown
from protocol.requests import Shutdown, Status
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.raw_client import RawClient
from tests.actors.test_bad_input import run_message


async def test_shutdown_ends_what_runs_what_loads_and_what_is_queued() -> None:
    backend = FakeBackend()
    system = make_system(backend)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        async with system.client() as client, trio.open_nursery() as streams:
            running_, queued, loading = Stream(), Stream(), Stream()
            streams.start_soon(running_.follow, client, make_request(max_sequences=1))
            await until(lambda: bool(backend.live))
            backend.emit(1, "so far")
            streams.start_soon(queued.follow, client, make_request(max_sequences=1))
            backend.may_load.clear()
            streams.start_soon(loading.follow, client, make_request(model="tiny-2"))
            await until(lambda: len(backend.loads) == 2 and bool(queued.messages) and bool(running_.text))
            await client.ask(Shutdown())
            for stream in (running_, queued, loading):
                await stream.ended.wait()
                assert stream.record.stop_reason == "shutdown"
            assert running_.record.result == "so far"
    assert backend.closed


async def test_a_stopping_engine_refuses_new_work_and_says_so() -> None:
    backend, domain = FakeBackend(), FakeDomain()
    backend.cancel = lambda sequence_id: None  # type: ignore[method-assign]  # one that takes its time
    async with trio.open_nursery() as nursery:
        system = make_system(backend, domain)
        await nursery.start(system.run)
        async with system.client() as client, trio.open_nursery() as streams:
            slow, preparing = Stream(), Stream()
            streams.start_soon(slow.follow, client, make_request())
            await until(lambda: bool(backend.live))
            domain.may_prepare.clear()
            domain.preparing.clear()
            streams.start_soon(preparing.follow, client, make_request())
            await until(domain.preparing.is_set)
            streams.start_soon(client.ask, Shutdown())
            await preparing.ended.wait()
            assert isinstance(preparing.error, ShuttingDown)
            with pytest.raises(ShuttingDown):
                await record_of(client, make_request())
            assert (await client.ask(Status())).executions[0].state == "running"
            backend.emit(1, stop="cancelled")
            await slow.ended.wait()
            assert slow.record.stop_reason == "shutdown"
        domain.may_prepare.set()


async def test_an_execution_that_will_not_end_does_not_hold_the_engine_up() -> None:
    backend = FakeBackend()
    backend.cancel = lambda sequence_id: None  # type: ignore[method-assign]  # one that never does
    async with running(make_system(backend, limits=ServiceLimits(stop_s=0.01))) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send(run_message(1))
        await until(lambda: bool(backend.live))
        await client.receive()
        await system.stop()
        failed = await client.failure()
        assert (failed.request_id, failed.code) == (1, "shutting_down")
        await client.wait_hung_up()


async def test_an_engine_that_fails_still_answers_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the policy is broken")

    monkeypatch.setattr("actors.scheduler.decide", broken)
    backend = FakeBackend()
    system = make_system(backend)
    client: RawClient | None = None
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            client = RawClient(system.connect())
            await client.greet()
            await client.send(run_message(1))
            await trio.sleep_forever()
    assert client is not None
    assert isinstance(await client.receive(), Accepted)
    failed = await client.failure()
    assert (failed.request_id, failed.code) == (1, "shutting_down")
    assert backend.closed


async def begun(system: System, backend: FakeBackend, streams: trio.Nursery) -> Stream:
    """An execution in the middle of its answer."""
    stream = Stream()
    streams.start_soon(stream.follow, await streams.start(connected, system), make_request(max_sequences=1))
    await until(lambda: bool(backend.live))
    backend.emit(1, "so far")
    await until(lambda: bool(stream.text))
    return stream


async def connected(system: System, *, task_status: trio.TaskStatus[Client]) -> None:
    async with system.client() as client:
        task_status.started(client)
        await trio.sleep_forever()


async def test_what_runs_may_finish_while_what_is_queued_and_what_is_new_may_not() -> None:
    backend = FakeBackend()
    async with trio.open_nursery() as nursery, trio.open_nursery() as streams:
        system = make_system(backend)
        await nursery.start(system.run)
        client = await streams.start(connected, system)
        running_ = await begun(system, backend, streams)
        queued = Stream()
        streams.start_soon(queued.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(queued.messages))
        streams.start_soon(client.ask, Shutdown(drain_s=60.0))
        await queued.ended.wait()
        assert queued.record.stop_reason == "shutdown"
        with pytest.raises(ShuttingDown):
            await record_of(client, make_request())
        assert not backend.cancelled
        backend.emit(1, ", and the rest", stop="eos")
        await running_.ended.wait()
        assert (running_.record.stop_reason, running_.record.result) == ("eos", "so far, and the rest")
        streams.cancel_scope.cancel()
    assert backend.closed


@pytest.fixture
def clock(mock_clock: MockClock) -> MockClock:
    """Goes on by itself too: worker threads take part, which a clock that jumps over idle time would not wait for."""
    mock_clock.rate = 1.0
    return mock_clock


@pytest.mark.parametrize(
    ("bounds_s", "runs_until_s"),
    [((1000.0,), 1000.0), ((1000.0, 0.0), 0.0), ((1000.0, 500.0), 500.0), ((500.0, 1000.0), 500.0)],
    ids=["told once", "told not to wait", "told to be sooner", "told to be later"],
)
async def test_what_has_not_finished_within_the_shortest_bound_ends_with_shutdown(
    bounds_s: tuple[float, ...], runs_until_s: float, clock: MockClock
) -> None:
    backend = FakeBackend()
    async with trio.open_nursery() as nursery, trio.open_nursery() as streams:
        system = make_system(backend)
        await nursery.start(system.run)
        stream = await begun(system, backend, streams)
        for bound_s in bounds_s:
            nursery.start_soon(system.stop, bound_s)
            await wait_all_tasks_blocked()
        if runs_until_s:
            clock.jump(runs_until_s - 100.0)
            await wait_all_tasks_blocked()
            assert not backend.cancelled
            clock.jump(100.0)
        await stream.ended.wait()
        assert (stream.record.stop_reason, stream.record.result) == ("shutdown", "so far")
        streams.cancel_scope.cancel()


async def test_a_client_of_a_stopped_engine_is_told() -> None:
    async with trio.open_nursery() as nursery:
        system = make_system(FakeBackend())
        await nursery.start(system.run)
        async with system.client() as client:
            await system.stop()
            with pytest.raises(EngineUnreachable):
                await client.ask(Status())
