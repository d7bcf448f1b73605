"""Everything has a bound, and past it a typed answer; no other client notices."""

from __future__ import annotations

import pytest
import trio

from actors.limits import ServiceLimits
from actors.system import running
from protocol.answers import Accepted, Failed, StatusReport, Tokens
from protocol.codec import encode
from protocol.errors import Overloaded
from protocol.framing import encode_frame
from protocol.requests import Status
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.raw_client import RawClient
from tests.actors.test_bad_input import run_message


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    backend = FakeBackend()
    async with running(make_system(backend, limits=ServiceLimits(max_queued=2))) as system, system.client() as client:
        async with trio.open_nursery() as nursery:
            streams = [Stream() for _ in range(3)]
            for stream in streams:
                nursery.start_soon(stream.follow, client, make_request(max_sequences=1))
                await until(lambda stream=stream: bool(stream.messages))  # type: ignore[misc]
            with pytest.raises(Overloaded, match="2 executions are queued") as refused:
                await record_of(client, make_request(max_sequences=1))
            assert refused.value.params["retry_after_ms"] > 0
            for sequence_id in (1, 2, 3):
                await until(lambda sequence_id=sequence_id: sequence_id in backend.live)  # type: ignore[misc]
                backend.emit(sequence_id, str(sequence_id), stop="eos")
        assert [stream.record.result for stream in streams] == ["1", "2", "3"]
        assert all(stream.record.metrics.queue_ms is not None for stream in streams)


async def test_no_more_executions_than_the_engine_can_hold() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(max_executions=1)
    system = make_system(backend, limits=limits)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(Stream().follow, client, make_request())
        await until(lambda: bool(backend.live))
        with pytest.raises(Overloaded, match="1 requests are in progress"):
            await record_of(client, make_request())
        backend.emit(1, stop="eos")


async def test_one_connection_has_a_share_of_requests_in_flight() -> None:
    async with running(make_system(FakeBackend(), limits=ServiceLimits(max_in_flight=2))) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send(run_message(1), run_message(2), {"type": "Status", "request_id": 3})
        messages = [await client.receive() for _ in range(3)]
        failed = next(message for message in messages if isinstance(message, Failed))
        assert (failed.request_id, failed.code) == (3, "overloaded")
        assert sum(isinstance(message, Accepted) for message in messages) == 2
        await client.aclose()


async def test_one_connection_too_many_is_turned_away() -> None:
    async with running(make_system(FakeBackend(), limits=ServiceLimits(max_connections=1))) as system:
        async with system.client():
            with pytest.raises(Overloaded, match="1 clients are connected"):
                async with system.client():
                    pass
        await until(lambda: system.statistics().api_server.connections == 0)
        async with system.client() as client:
            await client.ask(Status())


async def test_a_reader_that_stalls_loses_its_stream_and_nobody_else_does() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(outbox_bytes=10_000)
    async with running(make_system(backend, limits=limits)) as system, system.client() as neighbour:
        stalled = RawClient(system.connect())
        await stalled.greet()
        await stalled.send(run_message(1))
        await until(lambda: 1 in backend.live)
        async with trio.open_nursery() as nursery:
            stream = Stream()
            nursery.start_soon(stream.follow, neighbour, make_request())
            await until(lambda: 2 in backend.live)
            while 1 in backend.live:
                backend.emit(1, "x" * 1000)
                await trio.sleep(0.001)
            assert system.statistics().api_server.outbox_bytes < 12_000
            backend.emit(2, "fine", stop="eos")
        assert stream.record.result == "fine"
        assert backend.cancelled == [1]
        # What was queued before is still there to be read, then the reason, and the connection goes on.
        message = await stalled.receive()
        while isinstance(message, Accepted | Tokens):
            message = await stalled.receive()
        assert isinstance(message, Failed)
        assert (message.request_id, message.code) == (1, "slow_consumer")
        await stalled.send({"type": "Status", "request_id": 2})
        assert isinstance(await stalled.receive(), StatusReport)
        await stalled.aclose()


async def test_a_client_that_never_reads_its_refusals_is_not_read_from() -> None:
    limits = ServiceLimits(outbox_bytes=2000)
    async with running(make_system(FakeBackend(), limits=limits)) as system:
        client = RawClient(system.connect())
        await client.greet()
        refused = encode_frame(encode_invalid())
        with trio.move_on_after(0.2) as patience:
            while True:
                await client.send_bytes(refused)
        assert patience.cancelled_caught
        assert system.statistics().api_server.outbox_bytes < 4000
        await client.aclose()


def encode_invalid() -> bytes:
    valid = Failed(request_id=1, code="", message="")
    return encode(valid).replace(b"Failed", b"Status")
