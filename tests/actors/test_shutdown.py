"""The engine stops when asked, and everyone who waits is told."""

from __future__ import annotations

import pytest
import trio

from actors.limits import Limits
from actors.system import running
from engine.backend import SequenceEvents
from protocol.answers import Failed
from protocol.errors import EngineUnreachable, ShuttingDown
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
            await client.shutdown()
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
            streams.start_soon(client.shutdown)
            await preparing.ended.wait()
            assert isinstance(preparing.error, ShuttingDown)
            with pytest.raises(ShuttingDown):
                await record_of(client, make_request())
            assert (await client.status()).executions[0].state == "running"
            backend.emit(1, stop="cancelled")
            await slow.ended.wait()
            assert slow.record.stop_reason == "shutdown"
        domain.may_prepare.set()


async def test_an_execution_that_will_not_end_does_not_hold_the_engine_up() -> None:
    backend = FakeBackend()
    backend.cancel = lambda sequence_id: None  # type: ignore[method-assign]  # one that never does
    async with running(make_system(backend, limits=Limits(stop_s=0.01))) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send(run_message(1))
        await until(lambda: bool(backend.live))
        await client.receive()
        await system.stop()
        failed = await client.failure()
        assert (failed.request_id, failed.code) == (1, "shutting_down")
        await client.wait_hung_up()


async def test_an_engine_that_fails_still_answers_who_waits() -> None:
    class Broken(FakeBackend):
        def drain(self) -> list[SequenceEvents]:
            raise RuntimeError("the backend is broken")

    backend = Broken()
    system = make_system(backend)
    client: RawClient | None = None
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            client = RawClient(system.connect())
            await client.greet()
            await client.send(run_message(1))
            await client.receive()
            await until(lambda: bool(backend.live))
            backend.emit(1, "x")
            await trio.sleep_forever()
    assert client is not None
    failed = await client.receive()
    assert isinstance(failed, Failed)
    assert (failed.request_id, failed.code) == (1, "shutting_down")
    assert backend.closed


async def test_a_client_of_a_stopped_engine_is_told() -> None:
    async with trio.open_nursery() as nursery:
        system = make_system(FakeBackend())
        await nursery.start(system.run)
        async with system.client() as client:
            await system.stop()
            with pytest.raises(EngineUnreachable):
                await client.status()
