"""What a client sees finished is in the store; what cannot be stored is told."""

from __future__ import annotations

import trio

from actors.system import running
from protocol.answers import Finished
from protocol.errors import InvalidModel
from protocol.requests import Replay, Status
from tests.actors.engine_factory import Stream, collect, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_records import FakeRecords


async def test_the_record_is_kept_before_its_client_hears_of_the_end() -> None:
    records = FakeRecords()
    async with running(make_system(FakeBackend(answer=("a",)), records=records)) as system, system.client() as client:
        records.may_write.clear()
        stream = Stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.follow, client, make_request())
            await until(lambda: stream.text == "a")
            await client.ask(Status())
            assert not stream.ended.is_set()
            records.may_write.set()
        assert [record.execution_id for record in records.finished] == [stream.execution_id]
        assert records.finished[0] == stream.record
        assert set(records.begun) == {stream.execution_id}
    assert records.closed


async def test_a_full_disk_costs_the_record_and_not_the_answer() -> None:
    records = FakeRecords(full=True)
    async with running(make_system(FakeBackend(answer=("a",)), records=records)) as system, system.client() as client:
        finished = (await collect(client, make_request()))[-1]
    assert isinstance(finished, Finished)
    assert finished.record.result == "a"
    assert finished.unrecorded == "the disk is full"


async def test_what_fails_before_it_computes_is_recorded_too() -> None:
    records = FakeRecords()
    backend = FakeBackend(load_error=InvalidModel("torn", path="/x"))
    async with running(make_system(backend, records=records)) as system, system.client() as client:
        stream = Stream()
        await stream.follow(client, make_request())
    assert stream.error is not None
    assert (stream.error.code, stream.error.params) == ("invalid_model", {"path": "/x"})
    assert [(record.stop_reason, record.error) for record in records.finished] == [("error", "torn")]


async def test_many_ends_are_written_together() -> None:
    records = FakeRecords()
    backend = FakeBackend(answer=("a",))
    async with running(make_system(backend, records=records)) as system, system.client() as client:
        ended: list[str] = []

        async def run() -> None:
            ended.append((await record_of(client, make_request())).execution_id)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(run)
        assert sorted(ended) == sorted(record.execution_id for record in records.finished)


async def test_a_recorded_execution_runs_again_under_its_own_plan() -> None:
    records = FakeRecords()
    async with running(make_system(FakeBackend(answer=("a",)), records=records)) as system, system.client() as client:
        messages = [message async for message in client.follow(Replay(execution_id="exec-1"))]
    finished = messages[-1]
    assert isinstance(finished, Finished)
    assert finished.record.prompt_token_ids == tuple(map(ord, "exec-1"))
    assert finished.record.execution_id != "exec-1"


async def test_stopping_waits_for_what_is_being_recorded() -> None:
    records = FakeRecords()
    system = make_system(FakeBackend(), records=records)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: bool(stream.messages))
        records.may_write.clear()
        nursery.start_soon(system.stop)
        await trio.sleep(0.02)
        assert not stream.ended.is_set()
        records.may_write.set()
        await stream.ended.wait()
    assert stream.record.stop_reason == "shutdown"
    assert len(records.finished) == 1
