"""A cancel works in every phase, by message and by disconnect, and leaves neighbours alone."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import trio

from actors.limits import ServiceLimits
from actors.system import running
from protocol.errors import UnknownExecution
from protocol.requests import Cancel, Status
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain


async def test_cancel_in_the_queue_gives_a_record_without_tokens() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        first, second = Stream(), Stream()
        nursery.start_soon(first.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(backend.live))
        nursery.start_soon(second.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(second.messages))
        assert [(one.state) for one in (await client.ask(Status())).executions] == ["running", "queued"]
        await client.ask(Cancel(execution_id=second.execution_id))
        await second.ended.wait()
        assert second.record.stop_reason == "cancelled"
        assert second.record.token_ids == ()
        assert second.record.hardware.kernel_path == "none"
        assert second.record.metrics.queue_ms is not None
        assert second.record.metrics.load_ms is None
        backend.emit(1, "still here", stop="eos")
        await first.ended.wait()
        assert first.record.result == "still here"


async def test_cancel_while_loading_ends_the_load_and_the_next_one_loads_again() -> None:
    backend = FakeBackend(answer=("a",))
    backend.may_load.clear()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await trio.to_thread.run_sync(backend.loading.wait)
        await until(lambda: bool(stream.messages))
        assert [one.state for one in (await client.ask(Status())).executions] == ["loading"]
        await client.ask(Cancel(execution_id=stream.execution_id))
        await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
        await until(lambda: backend.cancelled_loads == 1)
        backend.may_load.set()
        assert (await record_of(client, make_request())).result == "a"
    assert len(backend.loads) == 2
    assert len(backend.prompts) == 1


async def test_cancel_in_prefill_and_in_decode_reaches_the_backend() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        for sequence_id, said in ((1, ()), (2, ("some", " words"))):
            stream = Stream()
            nursery.start_soon(stream.follow, client, make_request())
            await until(lambda: bool(backend.live))
            if said:
                backend.emit(sequence_id, *said)
                await until(lambda stream=stream: bool(stream.text))  # type: ignore[misc]
            await client.ask(Cancel(execution_id=stream.execution_id))
            await stream.ended.wait()
            assert backend.cancelled[-1] == sequence_id
            assert stream.record.stop_reason == "cancelled"
            assert stream.record.result == "".join(said)
        assert (await client.ask(Status())).memory_bytes["kv_cache"] == 0


async def test_a_client_that_goes_away_takes_its_executions_with_it() -> None:
    backend = FakeBackend()
    async with running(make_system(backend)) as system, system.client() as neighbour:
        async with trio.open_nursery() as nursery:
            kept, gone = Stream(), Stream()
            nursery.start_soon(kept.follow, neighbour, make_request())
            await until(lambda: len(backend.live) == 1)
            async with system.client() as client:
                nursery.start_soon(gone.follow, client, make_request())
                await until(lambda: len(backend.live) == 2)
                backend.emit(2, "half an ans")
                await until(lambda: bool(gone.text))
            await until(lambda: backend.cancelled == [2])
            backend.emit(1, "whole", stop="eos")
            await kept.ended.wait()
        assert kept.record.result == "whole"
        await until(lambda: system.statistics().scheduler.admitted == 0)
        assert (await neighbour.ask(Status())).finished_total == 2


async def test_a_client_that_goes_away_before_its_plan_is_made_leaves_nothing_behind() -> None:
    backend, domain = FakeBackend(), FakeDomain()
    domain.may_prepare.clear()
    async with running(make_system(backend, domain)) as system:
        async with system.client() as client, trio.open_nursery() as nursery:
            nursery.start_soon(Stream().follow, client, make_request())
            await trio.to_thread.run_sync(domain.preparing.wait)
            nursery.cancel_scope.cancel()
        await until(lambda: system.statistics().api_server.connections == 0)
        domain.may_prepare.set()
        async with system.client() as client:
            status = await client.ask(Status())
            assert (status.executions, status.finished_total) == ((), 0)
    assert not backend.prompts


async def test_an_iterator_left_early_cancels_its_execution() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_say_when_live, backend)
        async with aclosing(client.run(make_request())) as messages:
            async for message in messages:
                if message.type == "Tokens":
                    break
        await until(lambda: backend.cancelled == [1])


async def test_another_client_may_cancel_by_id_and_unknown_ids_are_told() -> None:
    backend = FakeBackend()
    async with running(make_system(backend)) as system, system.client() as owner, system.client() as other:
        async with trio.open_nursery() as nursery:
            stream = Stream()
            nursery.start_soon(stream.follow, owner, make_request())
            await until(lambda: bool(backend.live) and bool(stream.messages))
            await other.ask(Cancel(execution_id=stream.execution_id))
            await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
        with pytest.raises(UnknownExecution, match="exec-0"):
            await other.ask(Cancel(execution_id="exec-0"))
        with pytest.raises(UnknownExecution):
            await other.ask(Cancel(execution_id=stream.execution_id))


async def test_its_own_end_wins_over_a_cancel_that_comes_late() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: bool(backend.live) and bool(stream.messages))
        backend.emit(1, "done", stop="eos")
        await client.post(Cancel(execution_id=stream.execution_id))
        await stream.ended.wait()
        assert stream.record.stop_reason == "eos"


async def test_a_hundred_clients_come_and_go_and_nothing_of_them_remains() -> None:
    backend = FakeBackend(answer=("a",))
    async with running(make_system(backend, limits=ServiceLimits(max_connections=4))) as system:
        for _ in range(100):
            async with system.client() as client:
                assert (await record_of(client, make_request())).stop_reason == "eos"
            await until(lambda: system.statistics().api_server.connections == 0)
        assert system.statistics().api_server.in_flight == 0
        assert system.statistics().scheduler.admitted == 0


async def _say_when_live(backend: FakeBackend) -> None:
    await until(lambda: bool(backend.live))
    backend.emit(1, "hello")
